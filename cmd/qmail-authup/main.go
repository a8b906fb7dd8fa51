// Qmail-authup asks a client of SMTP submission or POP3 for a name and a
// password, under TLS where there is any, and has checkpassword judge them. It is
// also authup, and, called qmail-popup, that program.
//
// # SYNOPSIS
//
//	qmail-authup [-t tries] smtp|pop3 checkpassword [args ...] prog ...
//	qmail-popup host checkpassword [args ...] prog ...
//
// # RESULTS
//
// The exit code is that of the program behind checkpassword, 0 after QUIT, and 1
// for everything else. See qmail-authup(8) and qmail-popup(8).
//
// # SEE ALSO
//
// qmail-authup(8), qmail-popup(8), checknotroot(8), qmail-ofmipd(8)
package main

import (
	"os"
	"path"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"postrider/inbound"
	"postrider/inbound/authup"
	"postrider/internal/entry"
	"postrider/internal/home"
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	authup.Seal()
	os.Exit(run(os.Args, authup.World{
		Wire:   &inbound.Descriptors{In: 0, Out: 1},
		Errors: 2,
		Env:    entry.Environ(),
		PID:    os.Getpid(),
		Now:    time.Now(),
	}))
}

// refusal is how long a wrong password waits for its answer.
const refusal = time.Second

func run(args []string, w authup.World) int {
	dir := home.Dir()
	var c authup.Config
	var err error
	if len(args) > 0 && path.Base(args[0]) == "qmail-popup" {
		if len(args) < 3 {
			return usage("qmail-popup: usage: qmail-popup hostname subprogram\n")
		}
		c, err = authup.LoadPopup(os.DirFS(dir), args[1])
		c.Command = args[2:]
	} else {
		o, ok := parseOptions(args)
		if !ok {
			return usage("authup: usage: authup [-t tries] smtp|pop3 subprogram\n")
		}
		c, err = authup.Load(os.DirFS(dir), o.protocol)
		c.Tries, c.Command, c.Dir = o.tries, o.command, dir
	}
	c.Refusal = refusal
	return authup.Serve(c, w, err)
}

// usage is for whoever wrote the command line; the client hears nothing.
func usage(text string) int {
	syscall.Write(2, []byte(text))
	return 1
}

type options struct {
	tries    int // 0: the protocol's own number
	protocol authup.Protocol
	command  []string
}

// parseOptions reads the command line as getopt(3) does.
func parseOptions(args []string) (o options, ok bool) {
	args = args[min(1, len(args)):]
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		if args[0] == "--" {
			args = args[1:]
			break
		}
		value, is := strings.CutPrefix(args[0], "-t")
		args = args[1:]
		if is && value == "" && len(args) > 0 {
			value, args = args[0], args[1:]
		}
		if o.tries, ok = number(value); !is || !ok {
			return o, false
		}
	}
	if len(args) < 2 {
		return o, false
	}
	switch strings.ToLower(args[0]) {
	case "smtp":
		o.protocol = authup.SMTP
	case "pop3":
		o.protocol = authup.POP3
	default:
		return o, false
	}
	o.command = args[1:]
	return o, true
}

// number is s, all digits, and no more of it than makes sense.
func number(s string) (n int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int(c-'0'), 1<<20)
	}
	return n, s != ""
}
