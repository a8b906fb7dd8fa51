package smtpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
)

// A script is what a server says and must hear, a line each:
//
//	< text     say text and CRLF; adjacent ones in one write
//	<+ "text"  say these bytes, with them
//	> text     hear text and CRLF
//	>+ "text"  hear these bytes
//	!wait d    let time pass
//	!close     hang up
//	!reset     reset the connection
//	!stall     say nothing more, read nothing more, until the client hangs up
//
// At its end the client may say QUIT and hang up, and nothing else.
func serve(conn net.Conn, script string) error {
	defer conn.Close()
	if err := serveUntil(conn, script); err != nil {
		if err == errLeft {
			return nil
		}
		return err
	}
	if rest, _ := io.ReadAll(conn); len(rest) > 0 && string(rest) != "QUIT\r\n" {
		return fmt.Errorf("heard %.200q behind the script", rest)
	}
	return nil
}

// errLeft says that the script has ended the connection.
var errLeft = errors.New("left")

// serveUntil is serve without its end.
func serveUntil(conn net.Conn, script string) error {
	var out []byte
	for n, line := range strings.Split(strings.TrimSpace(script), "\n") {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		verb, text, _ := strings.Cut(line, " ")
		if verb != "<" && verb != "<+" && len(out) > 0 {
			if _, err := conn.Write(out); err != nil && verb != "!close" {
				return fmt.Errorf("line %d: saying %.200q: %w", n, out, err)
			}
			out = nil
		}
		switch verb {
		case "<":
			out = append(out, text+"\r\n"...)
		case "<+":
			out = append(out, unquoted(text)...)
		case ">", ">+":
			want := text + "\r\n"
			if verb == ">+" {
				want = unquoted(text)
			}
			got := make([]byte, len(want))
			if k, err := io.ReadFull(conn, got); string(got) != want {
				return fmt.Errorf("line %d: heard %.200q (%v), want %.200q", n+1, got[:k], err, want)
			}
		case "!wait":
			d, err := time.ParseDuration(text)
			if err != nil {
				return err
			}
			time.Sleep(d)
		case "!close":
			return errLeft
		case "!reset":
			if r, ok := conn.(interface{ Reset() error }); ok {
				r.Reset()
			}
			return errLeft
		case "!stall":
			one := []byte{0}
			for {
				time.Sleep(time.Hour)
				if _, err := conn.Write(one); err != nil {
					return errLeft
				}
			}
		default:
			return errors.New("no such verb: " + verb)
		}
	}
	if len(out) > 0 {
		if _, err := conn.Write(out); err != nil {
			return fmt.Errorf("saying %q: %w", out, err)
		}
	}
	return nil
}

// background serves a script beside the test, until the function it returns has
// been called.
func background(t *testing.T, conn net.Conn, script string) (wait func()) {
	done := make(chan error, 1)
	go func() { done <- serve(conn, script) }()
	return func() {
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	}
}

func unquoted(s string) string {
	quoted, times, _ := strings.Cut(s, "\"*")
	if times != "" {
		quoted += "\""
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	if times != "" {
		n, _ := strconv.Atoi(times)
		text = strings.Repeat(text, n)
	}
	return text
}

// lone is a connection for a process that does nothing else. Like that of
// internal/solo it leaves only Close to those who had it before it was shared.
type lone struct {
	*smtptest.End
	gone bool
}

func (l *lone) Shared() (net.Conn, error) {
	l.gone = true
	return shared{l.End}, nil
}

func (l *lone) Read(p []byte) (int, error)  { l.check(); return l.End.Read(p) }
func (l *lone) Write(p []byte) (int, error) { l.check(); return l.End.Write(p) }
func (l *lone) Offer(p []byte) (int, error) { l.check(); return l.End.Offer(p) }
func (l *lone) Stirred() bool               { l.check(); return l.End.Stirred() }

func (l *lone) check() {
	if l.gone {
		panic("used after it was shared")
	}
}

// shared hides what makes a connection a lone one.
type shared struct{ net.Conn }

// overBoth runs f over a connection of package net's kind and over a lone one, in
// simulated time.
func overBoth(t *testing.T, size int, f func(t *testing.T, mine, theirs net.Conn)) {
	t.Helper()
	for _, name := range []string{"shared", "alone"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, theirs := smtptest.Pipe(size)
				if name == "alone" {
					f(t, &lone{End: mine}, theirs)
				} else {
					f(t, mine, theirs)
				}
			})
		})
	}
}

// links are the connections that every script runs over. A net.Pipe has no
// buffer at all: a write there waits for the reader, which pipelining and
// content that is interrupted cannot stand.
func links(script string) map[string]func() (net.Conn, net.Conn) {
	m := map[string]func() (net.Conn, net.Conn){
		"whole": func() (net.Conn, net.Conn) {
			a, b := smtptest.Pipe(16 << 10)
			return a, b
		},
		"bytes": func() (net.Conn, net.Conn) {
			a, b := smtptest.Pipe(16 << 10)
			a.Segment(1)
			return a, b
		},
		"alone": func() (net.Conn, net.Conn) {
			a, b := smtptest.Pipe(16 << 10)
			return &lone{End: a}, b
		},
		"alone, bytes": func() (net.Conn, net.Conn) {
			a, b := smtptest.Pipe(16 << 10)
			a.Segment(1)
			return &lone{End: a}, b
		},
		// No flight but the least fits into its buffer.
		"alone, narrow": func() (net.Conn, net.Conn) {
			a, b := smtptest.Pipe(50)
			return &lone{End: a}, b
		},
	}
	if !strings.Contains(script, "PIPELINING") && !strings.Contains(script, "!") {
		m["unbuffered"] = net.Pipe
	}
	return m
}

// against runs client against the script over every link, in simulated time.
func against(t *testing.T, script string, client func(t *testing.T, conn net.Conn)) {
	t.Helper()
	overLinks(t, links(script), script, client)
}

// againstAtOnce is against where what the server says in one piece comes so, or
// can be seen to have come. Where it comes in pieces, with a listener, nobody can
// know whether the listener will have looked at the next one before we speak.
func againstAtOnce(t *testing.T, script string, client func(t *testing.T, conn net.Conn)) {
	t.Helper()
	m := links(script)
	delete(m, "bytes")
	overLinks(t, m, script, client)
}

func overLinks(t *testing.T, links map[string]func() (net.Conn, net.Conn), script string, client func(t *testing.T, conn net.Conn)) {
	t.Helper()
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, theirs := link()
				wait := background(t, theirs, script)
				client(t, mine)
				wait()
			})
		})
	}
}

// brief gives an Ending in the words of the tables: "DATA 451", "dot dropped".
func brief(e smtp.Ending) string {
	s := e.Stage.String()
	if e.Fault != smtp.NoFault {
		s += " " + e.Fault.String()
	}
	if e.Reply.Code != 0 {
		s += " " + strconv.Itoa(e.Reply.Code)
	}
	return s
}

// result is brief of a whole transaction: "RCPT [550 450]", "QUIT 250 [250]".
func result(tx smtp.Transaction) string {
	s := brief(tx.Ending)
	if tx.Rcpts != nil {
		var codes []int
		for _, r := range tx.Rcpts {
			codes = append(codes, r.Code)
		}
		s += fmt.Sprint(" ", codes)
	}
	return s
}

// failure is brief of an error, "" of none.
func failure(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	end, ok := err.(*smtp.Ending)
	if !ok {
		t.Fatalf("%T is no *smtp.Ending: %v", err, err)
	}
	return brief(*end)
}

// delivery is one Send in a table.
type delivery struct {
	name   string
	params Params
	env    smtp.Envelope
	msg    *smtp.Message
	script string
	want   string
}

const small = "Subject: x\n\nhello\n.dot\n"

func file(s string) *smtp.Message {
	return &smtp.Message{At: strings.NewReader(s), Size: int64(len(s))}
}

func stream(s string) *smtp.Message { return &smtp.Message{Stream: strings.NewReader(s)} }

// deliver greets, sends and quits; an early end is the result.
func deliver(t *testing.T, conn net.Conn, d delivery) string {
	t.Helper()
	d.params.Helo = "me.example"
	d.params.Timeout = time.Minute
	if d.env.Rcpts == nil {
		d.env.Sender, d.env.Rcpts = "s@x.example", []string{"r@y.example"}
	}
	if d.msg == nil {
		d.msg = file(small)
	} else if d.msg.At != nil {
		d.msg = &smtp.Message{At: d.msg.At, Size: d.msg.Size} // no facts of a run before
	}
	c := New(conn, d.params)
	defer c.Quit()
	if err := c.Greet(context.Background()); err != nil {
		return failure(t, err)
	}
	return result(c.Send(context.Background(), d.env, d.msg))
}

func runDeliveries(t *testing.T, table []delivery) {
	t.Helper()
	for _, d := range table {
		t.Run(d.name, func(t *testing.T) {
			var text []byte
			if d.msg != nil && d.msg.Stream != nil {
				text, _ = io.ReadAll(d.msg.Stream)
			}
			against(t, d.script, func(t *testing.T, conn net.Conn) {
				d := d
				if text != nil {
					d.msg = stream(string(text))
				}
				if got := deliver(t, conn, d); got != d.want {
					t.Errorf("got %q, want %q", got, d.want)
				}
			})
		})
	}
}
