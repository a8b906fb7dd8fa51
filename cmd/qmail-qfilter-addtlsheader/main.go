// Qmail-qfilter-addtlsheader is a filter for qmail-qfilter that puts a Received
// field in front of a message that came under TLS.
//
// # SYNOPSIS
//
//	qmail-qfilter-addtlsheader < message > message
//
// # RESULTS
//
// It exits 0 when the whole message has been copied; 53 if it could not be
// written and 54 if it could not be read, which qmail-qfilter takes for temporary
// failures of the queue. See qmail-qfilter-addtlsheader(8).
package main

import (
	"io"
	"os"
	"runtime/debug"
	"time"

	"postrider/inbound"
	"postrider/internal/entry"
)

// Exit codes of qmail-queue(8).
const (
	exitWrite = 53
	exitRead  = 54
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	os.Exit(run(os.Stdin, os.Stdout, entry.Environ(), time.Now()))
}

func run(in io.Reader, out io.Writer, env inbound.Env, now time.Time) int {
	if _, err := io.WriteString(out, field(env, now)); err != nil {
		return exitWrite
	}
	w := &watched{Writer: out}
	if _, err := io.Copy(w, in); w.err != nil {
		return exitWrite
	} else if err != nil {
		return exitRead
	}
	return 0
}

// watched tells whose an error was.
type watched struct {
	io.Writer
	err error
}

func (w *watched) Write(p []byte) (n int, err error) {
	n, w.err = w.Writer.Write(p)
	return n, w.err
}

// field is the header field, or "" when there was no TLS.
func field(env inbound.Env, now time.Time) string {
	protocol, cipher := env.Get("SSL_PROTOCOL"), env.Get("SSL_CIPHER")
	if protocol == "" || cipher == "" {
		return ""
	}
	by := "ucspitls "
	if _, fixed := env.Lookup("FIXSMTPIOTLS"); fixed {
		by += "acceptutils fixsmtpio "
	} else if user, authenticated := env.Lookup("AUTHUP_USER"); authenticated {
		by += "acceptutils authup " + safe(user) + " "
	}
	return "Received: (" + by + safe(protocol) + " " + safe(cipher) + "); " + inbound.Date(now) + "\n"
}

// safe is s with "?" for what would end a comment (RFC 5322 §3.2.2), a field or
// a word. The user is what a client has called itself.
func safe(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c > '~' || c == '(' || c == ')' || c == '\\' {
			b[i] = '?'
		}
	}
	return string(b)
}
