// Qmail-remote-io speaks SMTP, as a client, on a connection that it is given on
// descriptors 6 and 7. Qmail-smtpc is its name when people call it.
//
// # SYNOPSIS
//
//	tcpclient host 25 qmail-smtpc [-t seconds] [-6 fd] [-7 fd] [-h helohost] host sender recip …
//
// The message is read from descriptor 0; the report goes to descriptor 1 in the
// form of qmail-remote(8). Under qmail-remote and ucspi-tlsc (-j, -r) it takes
// what it has to know from a pipe and writes a record of the conversation to
// another. See qmail-remote-io(8).
package main

import (
	"context"
	"os"
	"runtime/debug"
	"syscall"

	"postrider/internal/entry"
	"postrider/internal/fdconn"
	"postrider/internal/report"
	"postrider/internal/smtp"
)

// Exit codes other than 0: nothing was reported.
const (
	exitUsage  = 100 // in a chain only: by itself the program reports bad usage
	exitSystem = 111 // the report or record could not be written
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash") // die by a signal: what was begun may be in doubt
	entry.Room()
	os.Exit(run(os.Args, os.Getenv))
}

func run(args []string, getenv func(string) string) int {
	o, ok := parseOptions(args)
	if o.chained() {
		if !ok {
			fdconn.WriteAll(2, []byte("qmail-remote-io: improper arguments\n"))
			return exitUsage
		}
		return chained(o, getenv)
	}
	outcome := report.Outcome{Cause: report.Usage}
	if ok {
		outcome = alone(o, getenv)
	}
	if fdconn.WriteAll(1, outcome.AppendTo(nil)) != nil {
		return exitSystem
	}
	return 0
}

// alone is a delivery whose report people, or a program that knows
// qmail-remote, will read.
func alone(o options, getenv func(string) string) (outcome report.Outcome) {
	defer func() {
		if recover() != nil {
			outcome = report.Outcome{Cause: report.Crashed}
		}
	}()
	if !o.safe() {
		return report.Outcome{Cause: report.BadAddress, Host: o.host}
	}
	message, err := openMessage()
	if err != nil {
		return report.Outcome{Cause: report.UnreadableMessage}
	}
	conn, err := fdconn.New(o.in, o.out)
	if err != nil {
		return report.Outcome{Cause: report.NoConnection, Host: o.host}
	}
	t := o.converse(context.Background(), conn, message, getenv)
	return report.Of(t, o.host)
}

// openMessage refuses a closed descriptor 0, in whose place the Go runtime has
// opened /dev/null for reading and writing: an empty message nobody wrote.
func openMessage() (*smtp.Message, error) {
	flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, 0, syscall.F_GETFL, 0)
	if e != 0 {
		return nil, e
	}
	var st, null syscall.Stat_t
	if flags&syscall.O_ACCMODE == syscall.O_RDWR && syscall.Fstat(0, &st) == nil &&
		syscall.Stat("/dev/null", &null) == nil && st.Rdev == null.Rdev && st.Mode == null.Mode {
		return nil, syscall.EBADF
	}
	return smtp.OpenMessage(os.Stdin)
}
