package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/sink"
)

// run is one delivery, which must end with code. It gives the report.
func (w *world) run(t *testing.T, c proctest.Command, out *os.File, code int) string {
	t.Helper()
	status, err := c.Run()
	if err != nil {
		t.Fatal(err)
	}
	if !status.Exited() || status.ExitStatus() != code {
		t.Errorf("it ended with %#x, not %d", status, code)
	}
	report, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(report)
}

// scratch is an empty file.
func scratch(t *testing.T) *os.File {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// pipeOf is a pipe that gives text and ends.
func pipeOf(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	go func() {
		defer w.Close()
		io.WriteString(w, text) // fails when the program has ended first
	}()
	return r
}

func opened(t *testing.T, name string, flag int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, flag, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestDescriptor0: whatever the message is, or is not (C68, C69, C81).
func TestDescriptor0(t *testing.T) {
	const partial = "DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\x00"
	const unreadable = "ZUnable to read message. (#4.3.0)\n\x00"
	long := "Subject: x\n\n" + strings.Repeat("0123456789abcde\n", 64<<10)
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "tls"}[secured], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, secured, sink.Config{})
			w.file(t, "message", w.message)
			for _, c := range []struct {
				name, message string
				stdin         *os.File
				report        string // "": accepted
			}{
				{"file", w.message, opened(t, w.home+"/message", os.O_RDONLY), ""},
				{"file, also for writing", w.message, opened(t, w.home+"/message", os.O_RDWR), ""},
				{"file, for writing alone", "", opened(t, w.home+"/message", os.O_WRONLY), unreadable},
				{"closed", "", nil, unreadable},
				{"directory", "", opened(t, w.home, os.O_RDONLY), unreadable},
				{"/dev/null", "", opened(t, os.DevNull, os.O_RDONLY), ""},
				{"pipe", long, pipeOf(t, long), ""},
				{"empty pipe", "", pipeOf(t, ""), ""},
				{"pipe, partial line", "", pipeOf(t, "Subject: x\n\nhello"), partial},
				{"long pipe, partial line", "", pipeOf(t, long+"."), partial},
			} {
				w.message = c.message
				before := len(w.sink.Messages())
				out := scratch(t)
				report := w.run(t, w.command(c.stdin, out, out), out, 0)
				taken := w.taken(t, before)
				if c.report == "" && (letters(report) != "rK" || taken != 1) || c.report != "" && (!strings.HasSuffix(report, c.report) || taken != 0) {
					t.Errorf("%s: %q; taken %d times", c.name, report, taken)
				}
			}
		})
	}
}

// TestShrinkingMessage: somebody cuts the message while it is sent. What is left
// of it is not for the server to take (C69).
func TestShrinkingMessage(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "tls"}[secured], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, secured, sink.Config{})
			w.file(t, "message", "Subject: x\n\n"+strings.Repeat(strings.Repeat("x", 1023)+"\n", 8<<10))
			hook := func(what string) {
				if what == "content" {
					if err := os.Truncate(w.home+"/message", 7<<20); err != nil { // at the end of no line
						t.Error(err)
					}
				}
			}
			w.hook.Store(&hook)
			out := scratch(t)
			report := w.run(t, w.command(opened(t, w.home+"/message", os.O_RDONLY), out, out), out, 0)
			if taken := w.taken(t, 0); taken != 0 || report != "r\x00ZUnable to read message. (#4.3.0)\n\x00" {
				t.Errorf("%q; taken %d times", report, taken)
			}
		})
	}
}

// TestDescriptor1: without anybody who would hear of it the message does not go
// (C81).
func TestDescriptor1(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "tls"}[secured], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, secured, sink.Config{})
			w.file(t, "message", w.message)
			stdin := opened(t, w.home+"/message", os.O_RDONLY)
			w.run(t, w.command(stdin), stdin, 111)
			r, deaf, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			defer deaf.Close()
			r.Close()
			w.run(t, w.command(stdin, deaf, deaf), stdin, 111)
			if taken := w.taken(t, 0); taken != 0 {
				t.Errorf("taken %d times", taken)
			}
		})
	}
}

// TestSlowReader: who reads the report late reads it whole, although the pipe is
// full and its descriptor does not block (C81).
func TestSlowReader(t *testing.T) {
	w := newWorld(t, false, sink.Config{})
	w.file(t, "message", w.message)
	r, full, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	raw := int(full.Fd())
	blocking := func(are bool) {
		if err := syscall.SetNonblock(raw, !are); err != nil {
			t.Error(err)
		}
	}
	blocking(false)
	filler := make([]byte, 4096)
	for err == nil {
		_, err = syscall.Write(raw, filler)
	}
	read := make(chan []byte)
	hook := func(what string) {
		if what == "taken" {
			blocking(false) // Command has seen to the contrary
			go func() {
				w.l.empty()                             // nothing but the report is left to do,
				proctest.Idle(t, w.bin+"/qmail-remote") // and that waits
				b, _ := io.ReadAll(r)
				read <- bytes.TrimLeft(b, "\x00")
			}()
		}
	}
	w.hook.Store(&hook)
	stdin := opened(t, w.home+"/message", os.O_RDONLY)
	w.run(t, w.command(stdin, full, full), stdin, 0)
	full.Close()
	report := <-read
	if taken := w.taken(t, 0); taken != 1 || !bytes.HasPrefix(report, []byte("r\x00K")) || !bytes.HasSuffix(report, []byte("\n\x00")) {
		t.Errorf("%q; taken %d times", report, taken)
	}
}

// TestHome: no home, no delivery, and no bounce.
func TestHome(t *testing.T) {
	w := newWorld(t, false, sink.Config{})
	w.file(t, "message", w.message)
	for _, home := range []string{"/nonexistent", filepath.Join(w.home, "message")} {
		out := scratch(t)
		c := w.command(opened(t, w.home+"/message", os.O_RDONLY), out, out)
		c.Env[0] = "QMAILHOME=" + home
		if report := w.run(t, c, out, 0); report != "ZUnable to switch to home directory. (#4.3.0)\n\x00" {
			t.Errorf("%s: %q", home, report)
		}
	}
	// Where it is run does not matter.
	gone := t.TempDir() + "/gone"
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	out := scratch(t)
	c := w.command(opened(t, w.home+"/message", os.O_RDONLY), out, out)
	c.Path, c.Args = "/bin/sh", []string{"sh", "-c", `cd "$0" && rmdir "$0" && exec "$@"`, gone, c.Path, "example.net", "me@example.com", "you@example.net"}
	if report := w.run(t, c, out, 0); letters(report) != "rK" || w.taken(t, 0) != 1 {
		t.Errorf("nowhere: %q", report)
	}
}
