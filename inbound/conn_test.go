package inbound

import (
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// wire is a client whose every piece of input comes by itself, and that notes
// what it is told, and when: a "|" for each time we waited for it.
type wire struct {
	in   []string
	end  error // after in; io.EOF when nil
	said strings.Builder
}

func (w *wire) Read(p []byte) (int, error) {
	w.said.WriteByte('|')
	if len(w.in) == 0 {
		if w.end != nil {
			return 0, w.end
		}
		return 0, io.EOF
	}
	n := copy(p, w.in[0])
	if w.in[0] = w.in[0][n:]; w.in[0] == "" {
		w.in = w.in[1:]
	}
	return n, nil
}

func (w *wire) Write(p []byte) (int, error) { return w.said.Write(p) }

func TestLine(t *testing.T) {
	for _, c := range []struct {
		reason string
		in     []string
		want   []string
	}{
		{"CRLF and LF", []string{"a\r\nb\nc\r\r\n"}, []string{"a", "b", "c\r"}},
		{"in pieces", []string{"a", "b\r", "\n", "\n"}, []string{"ab", ""}},
		{"NULs and all", []string{"a\x00\xff b\n"}, []string{"a\x00\xff b"}},
		{"without an end", []string{"a\nQUIT"}, []string{"a"}},
		{"more than a buffer", []string{strings.Repeat("x", 10_000) + "\r\ny\n"}, []string{strings.Repeat("x", 10_000), "y"}},
	} {
		conn := NewConn(&wire{in: c.in})
		for _, want := range c.want {
			if got, err := conn.Line(); got != want || err != nil {
				t.Errorf("%s: %q, %v", c.reason, got, err)
			}
		}
		for range 2 { // it stays failed
			if got, err := conn.Line(); got != "" || err != io.EOF {
				t.Errorf("%s: %q, %v", c.reason, got, err)
			}
		}
	}
}

func TestBareLF(t *testing.T) {
	conn := NewConn(&wire{in: []string{"a\r\nb\n\r", "\n\nx"}})
	for _, want := range []bool{false, true, false, true, true} { // the last one is no line
		if conn.Line(); conn.BareLF() != want {
			t.Errorf("not %v", want)
		}
	}
}

// S11: a line without end costs no memory, and nothing behind it is a command.
func TestLineTooLong(t *testing.T) {
	for length, want := range map[int]error{MaxLine - 1: nil, MaxLine: ErrLineTooLong, 1 << 20: ErrLineTooLong} {
		conn := NewConn(&wire{in: []string{strings.Repeat("x", length) + "\nQUIT\r\n"}})
		line, err := conn.Line()
		if !errors.Is(err, want) || err == nil && len(line) != length {
			t.Errorf("%d bytes: %d, %v", length, len(line), err)
		}
		if _, err := conn.Line(); !errors.Is(err, want) {
			t.Errorf("%d bytes, then: %v", length, err)
		}
		if _, err := conn.Read(make([]byte, 1)); want != nil && err != want {
			t.Errorf("%d bytes, then read: %v", length, err)
		}
	}
}

// A client that sends one byte a minute keeps a slot for so long and no longer.
func TestLineTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		conn := NewConn(struct {
			io.Reader
			io.Writer
		}{slow{time.Minute}, io.Discard})
		if _, err := conn.Line(); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) > maxLineTime+2*time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		if _, err := conn.Next(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("then: %v", err)
		}
		conn = NewConn(struct {
			io.Reader
			io.Writer
		}{slow{time.Hour}, io.Discard})
		begun = time.Now()
		if _, err := io.Copy(io.Discard, conn); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begun) > maxSessionTime+2*time.Hour {
			t.Errorf("content, after %v: %v", time.Since(begun), err)
		}
	})
}

// slow gives a byte each time.
type slow struct{ pause time.Duration }

func (s slow) Read(p []byte) (int, error) {
	time.Sleep(s.pause) // in synctest's time
	return copy(p, "x"), nil
}

func TestFlushBeforeWaiting(t *testing.T) {
	w := &wire{in: []string{"a\nb\n", "c\n"}}
	conn := NewConn(w)
	conn.Say("220 ", "hello")
	for line, err := conn.Line(); err == nil; line, err = conn.Line() {
		conn.Say(line)
	}
	if got, want := w.said.String(), "220 hello\r\n|a\r\nb\r\n|c\r\n|"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Much to say is not kept in memory.
func TestSayMuch(t *testing.T) {
	w := &wire{}
	conn := NewConn(w)
	for range 100 {
		conn.Say(strings.Repeat("x", 1000))
	}
	if w.said.Len() < 60_000 {
		t.Errorf("only %d bytes were sent", w.said.Len())
	}
}

func TestWriteFails(t *testing.T) {
	conn := NewConn(struct {
		io.Reader
		io.Writer
	}{strings.NewReader("a\nb\n"), brokenPipe{}})
	if line, err := conn.Line(); line != "a" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	conn.Say("x")
	for range 2 {
		if err := conn.Flush(); err != syscall.EPIPE {
			t.Errorf("flush: %v", err)
		}
	}
	if line, err := conn.Line(); line != "b" || err != nil { // it was there
		t.Errorf("%q, %v", line, err)
	}
	if _, err := conn.Line(); err != syscall.EPIPE {
		t.Errorf("waiting for who does not hear: %v", err)
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, syscall.EPIPE }

func TestReadErrors(t *testing.T) {
	w := &wire{in: []string{"a"}, end: os.ErrDeadlineExceeded}
	conn := NewConn(w)
	if _, err := conn.Line(); err != os.ErrDeadlineExceeded {
		t.Error(err)
	}
	conn = NewConn(struct {
		io.Reader
		io.Writer
	}{iotest.DataErrReader(strings.NewReader("a\n")), io.Discard})
	if line, err := conn.Line(); line != "a" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
	conn = NewConn(struct {
		io.Reader
		io.Writer
	}{nothing{}, io.Discard})
	if _, err := conn.Line(); err != io.ErrNoProgress {
		t.Error(err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func TestNextUsedRead(t *testing.T) {
	conn := NewConn(&wire{in: []string{"abc\nd", "e"}})
	if line, err := conn.Line(); line != "abc" || err != nil || conn.Buffered() != 1 {
		t.Errorf("%q, %v, %d", line, err, conn.Buffered())
	}
	if b, err := conn.Next(); string(b) != "d" || err != nil {
		t.Errorf("%q, %v", b, err)
	}
	conn.Used(1)
	p := make([]byte, 5)
	if n, err := conn.Read(p); string(p[:n]) != "e" || err != nil {
		t.Errorf("%q, %v", p[:n], err)
	}
	if b, err := conn.Next(); len(b) != 0 || err != io.EOF {
		t.Errorf("%q, %v", b, err)
	}
}

// S4: what came in clear is no command of the session under TLS.
func TestChange(t *testing.T) {
	conn := NewConn(&wire{in: []string{"STARTTLS\r\nMAIL FROM:<evil>\r\n"}})
	conn.Line()
	if conn.Buffered() == 0 {
		t.Error("nothing is buffered: this tests nothing")
	}
	conn.Change(&wire{in: []string{"EHLO x\r\n"}})
	if line, err := conn.Line(); line != "EHLO x" || err != nil {
		t.Errorf("%q, %v", line, err)
	}
}

func TestParseCommand(t *testing.T) {
	for line, want := range map[string]Command{
		"":                    {},
		"QUIT":                {"QUIT", ""},
		"mail from:<a b> x ":  {"mail", "from:<a b> x "},
		"RCPT   TO:<x>":       {"RCPT", "TO:<x>"},
		"RCPT\tTO:<x>":        {"RCPT\tTO:<x>", ""},
		" QUIT":               {"", "QUIT"},
		"DATA\x00 x":          {"DATA\x00", "x"},
		"MAIL FROM:<x>\r\x00": {"MAIL", "FROM:<x>\r\x00"},
	} {
		if got := ParseCommand(line); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
	for verb, want := range map[string]bool{"MAIL": true, "mail": true, "mAiL": true, "MAILS": false, "MAI": false, "ma\u0131l": false, "RſET": false} {
		if got := (Command{Verb: verb}).Is("MAIL"); got != want {
			t.Errorf("%s: %v", verb, got)
		}
	}
	if (Command{Verb: "R\u017fET"}).Is("RSET") { // a long s folds to s in Unicode
		t.Error("a long s is taken for an s")
	}
}

// However the bytes come, the commands are those of a client that sends all at
// once.
func FuzzCommand(f *testing.F) {
	for _, in := range []string{"EHLO x\r\nQUIT\r\n", "a\n\n b", "x\r\r\n\x00 y\n", strings.Repeat("x", 9000) + "\nq"} {
		f.Add(in, 3)
	}
	f.Fuzz(func(t *testing.T, in string, size int) {
		size = min(max(size, 1), 5000)
		var pieces []string
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			pieces, rest = append(pieces, rest[:n]), rest[n:]
		}
		conn := NewConn(&wire{in: pieces})
		for {
			line, rest, whole := strings.Cut(in, "\n")
			got, err := conn.Command()
			if len(line) > MaxLine || whole && len(line) == MaxLine {
				if err != ErrLineTooLong {
					t.Errorf("%d bytes: %v", len(line), err)
				}
				return
			}
			if !whole {
				if err != io.EOF || got != (Command{}) {
					t.Errorf("at the end %q, %v", got, err)
				}
				return
			}
			verb, arg, _ := strings.Cut(strings.TrimSuffix(line, "\r"), " ")
			for strings.HasPrefix(arg, " ") {
				arg = arg[1:]
			}
			if got.Verb != verb || got.Arg != arg || err != nil {
				t.Errorf("%q: %q, %v", line, got, err)
			}
			in = rest
		}
	})
}
