// Ucspi-tlsd-io is the TLS process of ucspi-tlsd, which starts it; it is not to
// be started by hand.
//
// # SYNOPSIS
//
//	ucspi-tlsd-io --tls=COMMAND options
//
// The network is on descriptors 0 and 1. COMMAND is what the program wrote to
// SSLCTLFD, or "?" where it has not yet: then the first thing to happen is that
// a byte is read from 3, the other end of SSLCTLFD. 4 is read from the program,
// 5 written to it. Options, environment and exit codes are those of ucspi-tlsd(8).
//
// The wait for that byte is over before the Go runtime begins, where the linker
// was told to begin at postrider_start (see start_linux_amd64.s): most programs
// that wait in most processes never ask for TLS, and cost a page or two then.
package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/inbound"
	"postrider/inbound/tlsd"
	"postrider/inbound/tlsd/options"
	"postrider/internal/fdconn"
)

// Exit codes, as those of s6-tlsd-io.
const (
	exitFiles  = 96
	exitRights = 97
	exitTalk   = 98
	exitUsage  = 100
	exitSystem = 111
)

// Our descriptors.
const (
	control     = 3
	fromProgram = 4
	toProgram   = 5
	// beyond is where descriptors begin that ucspi-tlsd does not keep from us: it
	// looks at as many as anybody uses. Ours are all below.
	beyond = 64
)

func main() {
	debug.SetTraceback("crash")
	// A core file would have keys in it.
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	_ = unix.CloseRange(beyond, 1<<31-1, 0) // Linux before 5.9 cannot
	os.Exit(run(os.Args, os.Environ()))
}

func run(args []string, env inbound.Env) int {
	log := logger{peer: env.Get("TCPREMOTEIP"), level: 1}
	if len(args) < 2 || len(args[1]) != len("--tls=?") || !strings.HasPrefix(args[1], "--tls=") {
		log.say(1, "not to be started by hand: see ucspi-tlsd(8)")
		return exitUsage
	}
	o, rest, ok := options.Parse(args[2:])
	if !ok || len(rest) > 0 {
		log.say(1, "options that ucspi-tlsd does not give")
		return exitUsage
	}
	log.level = o.Verbosity
	command := args[1][len(args[1])-1]
	if command == '?' {
		command = fdconn.ReadByte(control)
	}
	switch command {
	case 0:
		log.say(2, "declined")
		return 0
	case 'y':
		syscall.Close(control)
	case 'Y':
	default:
		log.say(1, "the program asks for what is neither y nor Y")
		return exitUsage
	}
	t := server{log: log, options: o, env: env, answer: command == 'Y'}
	return t.exit(t.serve(context.Background()))
}

// exit says what is wrong, and which exit code that is.
func (t *server) exit(err error) int {
	if err == nil {
		return 0
	}
	t.log.say(1, err.Error())
	if e := (*tlsd.Error)(nil); errors.As(err, &e) {
		return map[tlsd.Kind]int{tlsd.Files: exitFiles, tlsd.Authority: exitRights, tlsd.Talk: exitTalk}[e.Kind]
	}
	return exitSystem
}

// logger writes lines for people to descriptor 2.
type logger struct {
	peer  string
	level int
}

// say writes a line if verbosity is at least level. What it says may hold what
// the peer chose.
func (l logger) say(level int, what string) {
	if l.level < level {
		return
	}
	line := "ucspi-tlsd: "
	if l.peer != "" {
		line += l.peer + ": "
	}
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(line+what, "?"))
	fdconn.WriteAll(2, []byte(line+"\n"))
}
