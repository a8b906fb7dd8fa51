// Qmail-tcpto prints the table of TCP timeouts.
//
// # SYNOPSIS
//
//	qmail-tcpto
//
// It prints, for each address that qmail-remote could not connect to in time, a
// line: first those of queue/lock/tcpto (IPv4), then those of
// run/qmail-remote/tcpto6 (IPv6), if there is such a file.
//
//	192.0.2.1 timed out 78 seconds ago; # recent timeouts: 2
//
// # RESULTS
//
// It exits 0, or 111 after a line about what went wrong. Both go to standard
// output.
//
// # SEE ALSO
//
// qmail-tcpok(8), qmail-remote(8)
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"postrider/internal/home"
	"postrider/tcpto"
)

func main() {
	os.Exit(run(home.Dir(), time.Now(), os.Stdout))
}

// run prints the tables of the qmail in dir to w and returns the exit code.
func run(dir string, now time.Time, w io.Writer) int {
	out := bufio.NewWriter(w)
	defer out.Flush()
	if _, err := os.Stat(filepath.Join(dir, "queue/lock") + "/."); err != nil {
		return complain(out, "chdir", err)
	}
	four, err := tcpto.Read4(filepath.Join(dir, "queue/lock/tcpto"))
	if err != nil {
		return complain(out, "tcpto", err)
	}
	show(out, four, now)
	six, err := tcpto.Read6(filepath.Join(dir, "run/qmail-remote/tcpto6"))
	if err != nil {
		return complain(out, "tcpto6", err)
	}
	show(out, six, now)
	return 0
}

// show writes a line for each entry; a time in the future is now.
func show(w io.Writer, entries []tcpto.Entry, now time.Time) {
	for _, e := range entries {
		ago := max(0, now.Unix()-e.When.Unix())
		fmt.Fprintf(w, "%v timed out %d seconds ago; # recent timeouts: %d\n", e.Addr, ago, e.Count)
	}
}

// complain says what could not be done, in stock's words: "unable to chdir", or
// to open, lock or read a table.
func complain(w io.Writer, what string, err error) int {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		if what != "chdir" {
			what = pe.Op + " " + what
		}
		err = pe.Err
	}
	fmt.Fprintf(w, "fatal: unable to %s: %v\n", what, err)
	return 111
}
