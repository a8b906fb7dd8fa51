package main

import (
	"strconv"
	"strings"
	"time"

	"postrider/internal/smtp"
)

// options is the command line.
type options struct {
	timeout     time.Duration
	in, out     int
	helo        string
	greet       bool // -h was given
	qmtp        bool // -q, in a chain only: speak QMTP
	job, result int  // descriptors, -1 without
	host        string
	smtp.Envelope
}

func (o *options) chained() bool { return o.job >= 0 || o.result >= 0 }

// parseOptions reads args as getopt does. What is not ok has no meaning but chained.
func parseOptions(args []string) (o options, ok bool) {
	o = options{timeout: 1200 * time.Second, in: 6, out: 7, job: -1, result: -1}
	if len(args) == 0 {
		return o, false
	}
	args = args[1:]
	ok = true
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		var good bool
		args, good = o.option(arg[1:], args)
		ok = ok && good
	}
	if len(args) < 3 {
		return o, false
	}
	o.host, o.Sender, o.Rcpts = args[0], args[1], args[2:]
	return o, ok && o.permitted()
}

// permitted reports whether the options go together.
func (o *options) permitted() bool {
	switch {
	case o.chained():
		return o.job >= 3 && o.result >= 3 && !o.greet
	case o.qmtp:
		return false
	}
	return !strings.ContainsAny(o.helo, "\r\n\x00") && o.timeout > 0
}

func (o *options) option(letters string, args []string) ([]string, bool) {
	for letters != "" && letters[0] == 'q' {
		o.qmtp = true
		letters = letters[1:]
	}
	if letters == "" {
		return args, true
	}
	value := letters[1:]
	if value == "" {
		if len(args) == 0 {
			return nil, false
		}
		value, args = args[0], args[1:]
	}
	if letters[0] == 'h' {
		o.helo, o.greet = value, true
		return args, true
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return args, false
	}
	switch letters[0] {
	case 't':
		o.timeout = time.Duration(n) * time.Second
	case '6':
		o.in = int(n)
	case '7':
		o.out = int(n)
	case 'j':
		o.job = int(n)
	case 'r':
		o.result = int(n)
	default:
		return args, false
	}
	return args, true
}

// safe reports whether every address can stand in a command (RFC 5321 §4.1.2:
// no line end, no NUL).
func (o *options) safe() bool { return safe(o.Envelope) }

func safe(e smtp.Envelope) bool {
	if !smtp.SafeAddress(e.Sender) {
		return false
	}
	for _, r := range e.Rcpts {
		if !smtp.SafeAddress(r) {
			return false
		}
	}
	return e.ASCII == nil || safe(*e.ASCII)
}
