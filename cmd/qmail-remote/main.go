// Qmail-remote sends one message to recipients at one host by SMTP.
//
// # SYNOPSIS
//
//	qmail-remote host sender recip [recip …]
//
// The message is read from descriptor 0. One report per recipient and one for
// the message are written to descriptor 1; see qmail-remote(8) for their form,
// the control files and the environment. It exits 0 whenever it has reported.
// Under qmail-rspawn descriptor 2 is the report pipe as well: nothing is ever
// written there.
package main

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"

	"postrider/internal/entry"
	"postrider/internal/home"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/remote"
)

func main() {
	entry.Lift()
	// A Go program that crashes exits 2, which qmail-rspawn takes for a bounce;
	// one that dies of a signal is deferred.
	debug.SetTraceback("crash")
	// One delivery never computes on two processors: waking a second thread for
	// each reply costs more than it gains.
	runtime.GOMAXPROCS(1)
	entry.Room()
	os.Exit(run(context.Background(), os.Args, os.Stdin, write))
}

// run delivers and reports; 111 means that the report could not be written, and
// reads as a deferral.
func run(ctx context.Context, argv []string, stdin *os.File, write func([]byte) error) int {
	if isPlaceholder(os.Stdout) {
		return 111 // nobody would hear that the message went, and it would go again
	}
	o := deliver(ctx, argv, stdin)
	if write(o.AppendTo(nil)) != nil {
		return 111
	}
	return 0
}

func deliver(ctx context.Context, argv []string, stdin *os.File) (o report.Outcome) {
	defer func() {
		if recover() != nil {
			o = report.Outcome{Cause: report.Crashed}
		}
	}()
	if len(argv) < 4 {
		return report.Outcome{Cause: report.Usage}
	}
	message, err := openMessage(stdin)
	if err != nil {
		return report.Outcome{Cause: report.UnreadableMessage}
	}
	engine, o := wire(sync.OnceValue(func() string {
		path, err := os.Executable()
		return helpers(path, err, argv[0], home.Dir())
	}))
	if engine == nil {
		return o
	}
	job, cause := remote.ParseJob(argv[1:], message)
	if cause != report.Accepted {
		return report.Outcome{Cause: cause, Host: argv[1]}
	}
	return engine.Deliver(ctx, job)
}

// helpers is where the helpers stand: beside the running program. Without /proc
// nobody can say where that is, and argv[0] is a bare name under qmail-rspawn;
// then they are qmail's own.
func helpers(path string, err error, argv0, dir string) string {
	switch {
	case err == nil:
		return filepath.Dir(path)
	case strings.Contains(argv0, "/"):
		return filepath.Dir(argv0)
	}
	return filepath.Join(dir, "bin")
}

// openMessage refuses a closed descriptor 0, in whose place the Go runtime has
// opened /dev/null for reading and writing: an empty message nobody wrote.
func openMessage(stdin *os.File) (*smtp.Message, error) {
	if isPlaceholder(stdin) {
		return nil, os.ErrClosed
	}
	m, err := smtp.OpenMessage(stdin)
	if err == nil && m.Again() {
		m.At = &watched{ReaderAt: m.At, size: m.Size, report: 1}
	}
	return m, err
}
