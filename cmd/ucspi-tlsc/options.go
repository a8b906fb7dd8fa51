package main

import (
	"strconv"
	"strings"
	"time"
)

// options are those of s6-tlsc and s6-ucspitlsc where they have one.
type options struct {
	delayed     bool // -d: UCSPI-TLS
	closeNotify bool // -S: end with a close_notify; -s: with the end of the TCP stream alone
	strictEnd   bool // -J: a TCP end without close_notify is an error
	sendCert    bool // -y: show a certificate when asked
	keepEnv     bool // -Z: the program sees CADIR and the like
	noVerify    bool // --no-verify-cert
	verbosity   int
	handshake   time.Duration // -K; 0 is no limit
	servername  string
	in, out     int // the network, and later the program's cleartext
	policy      int // descriptor of a tlspolicy.Policy as text; -1: made of the environment
	prog        []string
}

// parseOptions reads args as getopt does: flags may be bundled, a value may
// stand beside its letter or in the next argument, "--" ends the options.
func parseOptions(args []string) (options, bool) {
	o := options{verbosity: 1, in: 6, out: 7, policy: -1}
	if len(args) < 2 {
		return o, false
	}
	args = args[1:]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		var ok bool
		if strings.HasPrefix(arg, "--") {
			args, ok = o.long(arg[2:], args)
		} else {
			args, ok = o.short(arg[1:], args)
		}
		if !ok {
			return o, false
		}
	}
	o.prog = args
	return o, len(args) > 0 && o.in >= 3 && o.out >= 3 && o.in != o.out && o.policy != o.in && o.policy != o.out
}

// short reads the letters of one argument, and returns the arguments left.
func (o *options) short(letters string, args []string) ([]string, bool) {
	for letters != "" {
		c := letters[0]
		letters = letters[1:]
		if o.flag(c) {
			continue
		}
		value := letters
		if value == "" {
			if len(args) == 0 {
				return nil, false
			}
			value, args = args[0], args[1:]
		}
		return args, o.value(c, value)
	}
	return args, true
}

func (o *options) flag(c byte) bool {
	switch c {
	case 'd':
		o.delayed = true
	case 'S', 's':
		o.closeNotify = c == 'S'
	case 'J', 'j':
		o.strictEnd = c == 'J'
	case 'y', 'Y':
		o.sendCert = c == 'y'
	case 'Z', 'z':
		o.keepEnv = c == 'Z'
	default:
		return false
	}
	return true
}

func (o *options) value(c byte, value string) bool {
	if c == 'k' {
		o.servername = value
		return true
	}
	n, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return false
	}
	switch c {
	case 'v':
		o.verbosity = int(n)
	case 'K':
		o.handshake = time.Duration(n) * time.Millisecond
	case '6':
		o.in = int(n)
	case '7':
		o.out = int(n)
	case 'p':
		o.policy = int(n)
		return n >= 3
	default:
		return false
	}
	return true
}

// long reads one of s6's long options; its value follows "=" or is the next argument.
func (o *options) long(name string, args []string) ([]string, bool) {
	name, value, has := strings.Cut(name, "=")
	var letter byte
	switch name {
	case "no-verify-cert":
		o.noVerify = true
		return args, !has
	case "servername":
		letter = 'k'
	case "handshake-timeout":
		letter = 'K'
	case "verbosity":
		letter = 'v'
	default:
		return nil, false
	}
	if !has {
		if len(args) == 0 {
			return nil, false
		}
		value, args = args[0], args[1:]
	}
	return args, o.value(letter, value)
}
