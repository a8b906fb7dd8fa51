// Qmail-tcpok clears the table of TCP timeouts.
//
// # SYNOPSIS
//
//	qmail-tcpok
//
// It forgets every address that qmail-remote could not connect to in time, those
// of queue/lock/tcpto (IPv4) and those of run/qmail-remote/tcpto6 (IPv6), if
// there is such a file.
//
// # RESULTS
//
// It exits 0, or 111 after a line on standard error about what went wrong.
//
// # SEE ALSO
//
// qmail-tcpto(8), qmail-remote(8)
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"postrider/internal/home"
	"postrider/tcpto"
)

func main() {
	os.Exit(run(home.Dir(), os.Stderr))
}

// run clears the tables of the qmail in dir and returns the exit code.
func run(dir string, stderr io.Writer) int {
	for _, d := range []string{dir, filepath.Join(dir, "queue/lock")} {
		if _, err := os.Stat(d + "/."); err != nil {
			return complain(stderr, "chdir to", d, err)
		}
	}
	four := filepath.Join(dir, "queue/lock/tcpto")
	six := filepath.Join(dir, "run/qmail-remote/tcpto6")
	err4, err6 := tcpto.Clear4(four), tcpto.Clear6(six)
	if err4 != nil {
		return complain(stderr, "", four, err4)
	}
	if err6 != nil {
		return complain(stderr, "", six, err6)
	}
	return 0
}

// complain says what could not be done, in stock's words. Without a deed, it is
// the one that the error names.
func complain(w io.Writer, deed, name string, err error) int {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		if deed == "" {
			deed = stockWord(pe.Op)
		}
		err = pe.Err
	}
	fmt.Fprintf(w, "qmail-tcpok: fatal: unable to %s %s: %v\n", deed, name, err)
	return 111
}

// stockWord is what stock's qmail-tcpok calls an operation.
func stockWord(op string) string {
	switch op {
	case "open":
		return "write"
	case "write":
		return "clear"
	}
	return op
}
