// Qmail-rstat shows what the engine of qmail-rspawn is doing.
//
// # SYNOPSIS
//
//	qmail-rstat [-json] [-once] [seconds]
//
// On a terminal it shows a table again and again, every 2 seconds or as often
// as it is told, until it is interrupted. Elsewhere it prints the table once,
// or, with seconds, again and again. With -once it prints once everywhere, and
// with -json what the engine says, unchanged.
//
// # RESULTS
//
// It exits 0; 1 if there is no engine, which begins with the first delivery;
// 100 if it was invoked improperly; 111 if the engine could not be asked.
//
// # SEE ALSO
//
// qmail-rstat(8), qmail-rspawn(8)
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"postrider/internal/home"
)

const usage = `usage: qmail-rstat [-json] [-once] [seconds]
Shows what the engine of qmail-rspawn is doing: on a terminal again and again,
every 2 seconds or as often as told; elsewhere once, unless seconds are given.
  -json   what the engine says, as JSON
  -once   once, also on a terminal
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	path := filepath.Join(home.Dir(), "run/qmail-remote/engine.sock")
	os.Exit(run(ctx, os.Args[1:], path, console{os.Stdout, os.Stderr, size, os.Getenv}))
}

// console is where run shows things.
type console struct {
	out, err io.Writer
	size     func() (rows, cols int) // 0 where out is no terminal
	env      func(string) string
}

// orders are the command line's.
type orders struct {
	json, once bool
	every      time.Duration // 0: not said
}

// run shows the engine that listens at path, and returns the exit code.
func run(ctx context.Context, args []string, path string, c console) int {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		io.WriteString(c.out, usage)
		return 0
	}
	if err != nil {
		fmt.Fprintf(c.err, "qmail-rstat: %v\n%s", err, usage)
		return 100
	}
	err = show(ctx, o, newEngine(path), c)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errNone):
		fmt.Fprintf(c.err, "qmail-rstat: %v\n", err)
		return 1
	}
	fmt.Fprintf(c.err, "qmail-rstat: %v\n", err)
	return 111
}

func parse(args []string) (o orders, err error) {
	f := flag.NewFlagSet("qmail-rstat", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.BoolVar(&o.json, "json", false, "")
	f.BoolVar(&o.once, "once", false, "")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	switch f.NArg() {
	case 0:
		return o, nil
	case 1:
		s, err := strconv.ParseFloat(f.Arg(0), 64)
		if err != nil || !(s >= 0.1 && s <= 86400) {
			return o, fmt.Errorf("%q is not from 0.1 to 86400 seconds", f.Arg(0))
		}
		o.every = time.Duration(s * float64(time.Second))
		return o, nil
	}
	return o, errors.New("too many arguments")
}
