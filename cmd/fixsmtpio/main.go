// Fixsmtpio filters what an SMTP server says and hears, and gives it STARTTLS.
//
// # SYNOPSIS
//
//	fixsmtpio prog [args …]
//
// It runs prog, which may be qmail-smtpd or ofmipd, between the client on
// descriptors 0 and 1 and itself, and applies the rules of control/fixsmtpio to
// requests, replies and the exit code. See fixsmtpio(8) and fixsmtpio(5).
package main

import (
	"errors"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"postrider/inbound"
	"postrider/inbound/fixsmtpio"
	"postrider/internal/entry"
	"postrider/internal/home"
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	os.Exit(run(os.Args, entry.Environ()))
}

func run(args []string, env inbound.Env) int {
	trouble := func(what string, err error) int {
		complain("fixsmtpio: unable to " + what + ": " + err.Error())
		if _, authenticated := env.Lookup("AUTHUP_USER"); authenticated {
			return fixsmtpio.ExitRules // to qmail-authup 1 would be a wrong password
		}
		return fixsmtpio.ExitTrouble
	}
	if len(args) < 2 {
		complain("fixsmtpio: usage: fixsmtpio prog [args ...]")
		return fixsmtpio.ExitTrouble
	}
	if _, without := env.Lookup("NOFIXSMTPIO"); without {
		return trouble("run "+args[1], fixsmtpio.Exec(args[1:], env))
	}
	dir := home.Dir()
	if err := os.Chdir(dir); err != nil {
		return trouble("change directory", err)
	}
	config, err := fixsmtpio.Load(dir)
	if wrong := (*fixsmtpio.RuleError)(nil); errors.As(err, &wrong) {
		trouble("parse control/fixsmtpio", err)
		return fixsmtpio.ExitRules
	}
	if err != nil {
		return trouble("read controls", err)
	}
	s := fixsmtpio.Session{
		Config: config,
		Client: inbound.Descriptors{In: 0, Out: 1},
		Env:    env,
		Prog:   args[1:],
		PID:    os.Getpid(),
		Log:    complain,
	}
	return s.Run()
}

// complain writes one line to the log, whatever the client has put into it.
func complain(what string) {
	line := []byte(strings.ToValidUTF8(what, "?") + "\n")
	for i, c := range line[:len(line)-1] {
		if c < ' ' || c == 0x7f {
			line[i] = '?'
		}
	}
	syscall.Write(2, line)
}
