package smtp

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// messageFile returns an open file that holds content.
func messageFile(t *testing.T, content string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mess")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestOpenFile(t *testing.T) {
	for _, c := range []struct {
		content string
		offset  int64
		want    string
	}{
		{"a\nb\n", 0, "a\nb\n"},
		{"a\nb\n", 2, "b\n"},
		{"a\nb\n", 4, ""},
		{"", 0, ""},
		{strings.Repeat("line\n", 50_000), 5, strings.Repeat("line\n", 49_999)},
	} {
		f := messageFile(t, c.content)
		if _, err := f.Seek(c.offset, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		m, err := OpenMessage(f)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Again() || m.Size != int64(len(c.want)) {
			t.Errorf("again %v, size %d", m.Again(), m.Size)
		}
		for range 2 {
			if got, err := io.ReadAll(m.Reader()); err != nil || string(got) != c.want {
				t.Errorf("from %d: %d bytes, %v", c.offset, len(got), err)
			}
		}
		if now, _ := f.Seek(0, io.SeekCurrent); now != c.offset {
			t.Errorf("the offset moved from %d to %d", c.offset, now)
		}
	}
}

func TestOpenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	m, err := OpenMessage(r)
	if err != nil {
		t.Fatal(err)
	}
	if m.Again() || m.At != nil {
		t.Error("a pipe is not read again")
	}
	if _, known, err := m.Facts(); known || err != nil {
		t.Errorf("facts of a pipe: %v, %v", known, err)
	}
	if _, err := w.WriteString("a\nb\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if got, err := io.ReadAll(m.Reader()); err != nil || string(got) != "a\nb\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := io.ReadAll(m.Reader()); err == nil {
		t.Errorf("a spent pipe gives %q and no error", got)
	}
}

func TestOpenDevice(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := OpenMessage(f)
	if err != nil || m.Again() {
		t.Fatalf("%+v, %v", m, err)
	}
	if got, err := io.ReadAll(m.Reader()); err != nil || len(got) != 0 {
		t.Errorf("%q, %v", got, err)
	}
}

// C81: what cannot be read is found out before anything is said to a server.
func TestOpenUnreadable(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	closed := messageFile(t, "a\n")
	closed.Close()
	writeOnly, err := os.OpenFile(filepath.Join(t.TempDir(), "mess"), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer writeOnly.Close()
	_, pipeEnd, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipeEnd.Close()
	past := messageFile(t, "a\n")
	if _, err := past.Seek(3, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for what, f := range map[string]*os.File{"directory": dir, "closed": closed, "write-only": writeOnly,
		"write end": pipeEnd, "nil": nil, "offset past the end": past} {
		if m, err := OpenMessage(f); err == nil {
			t.Errorf("%s: %+v", what, m)
		}
	}
}

func TestFactsOnce(t *testing.T) {
	at := &countingAt{r: strings.NewReader("a\n\nä\n")}
	m := &Message{At: at, Size: at.r.Size()}
	want := Facts{Wire: 9, EightBit: true}
	for range 3 {
		if got, known, err := m.Facts(); got != want || !known || err != nil {
			t.Errorf("%+v, %v, %v", got, known, err)
		}
	}
	if at.calls != 1 {
		t.Errorf("read %d times", at.calls)
	}
}

type countingAt struct {
	r     *strings.Reader
	calls int
}

func (c *countingAt) ReadAt(p []byte, off int64) (int, error) {
	c.calls++
	return c.r.ReadAt(p, off)
}

// C69: a file that became shorter is no shorter message.
func TestShrunkFile(t *testing.T) {
	f := messageFile(t, "a\nb\nc\n")
	m, err := OpenMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	r := m.Reader()
	if _, err := io.ReadFull(r, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if err := f.Truncate(4); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if string(rest) != "b\n" || !errors.Is(err, errShrunk) {
		t.Errorf("%q, %v", rest, err)
	}
	if _, again := r.Read(make([]byte, 1)); again != err {
		t.Errorf("then %v", again)
	}
	for range 2 {
		if got, known, err := m.Facts(); known || !errors.Is(err, errShrunk) || got != (Facts{}) {
			t.Errorf("facts %+v, %v, %v", got, known, err)
		}
	}
}

// A file that grew is the message that it was.
func TestGrownFile(t *testing.T) {
	f := messageFile(t, "a\n")
	m, err := OpenMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("b\n"), 2); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(m.Reader()); err != nil || string(got) != "a\n" {
		t.Errorf("%q, %v", got, err)
	}
}

type failingAt struct{ err error }

func (f failingAt) ReadAt(p []byte, off int64) (int, error) {
	return copy(p, "a\n"), f.err
}

func TestReadErrors(t *testing.T) {
	broken := errors.New("input/output error")
	r := (&Message{At: failingAt{broken}, Size: 10}).Reader()
	got, err := io.ReadAll(r)
	if string(got) != "a\n" || err != broken {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := r.Read(make([]byte, 9)); err != broken {
		t.Errorf("then %v", err)
	}
	// All of the content came: how the read ended does not matter.
	if got, err := io.ReadAll((&Message{At: failingAt{io.EOF}, Size: 2}).Reader()); string(got) != "a\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if n, err := (&Message{At: bytes.NewReader([]byte("a\n")), Size: 2}).Reader().Read(nil); n != 0 || err != nil {
		t.Errorf("empty read: %d, %v", n, err)
	}
	if got, err := io.ReadAll((&Message{}).Reader()); err == nil {
		t.Errorf("no message gives %q and no error", got)
	}
}

// TestReadMessage: short and long, the same content and facts as by OpenMessage;
// what is in memory needs the file no more.
func TestReadMessage(t *testing.T) {
	var rooms Rooms
	for _, content := range []string{"", "a\n", "no end", "Subject: \xe9\n\nb\r\nc\n", strings.Repeat("x\n", maxWhole/2), strings.Repeat("x\n", maxWhole)} {
		f := messageFile(t, content)
		want, err := OpenMessage(f)
		if err != nil {
			t.Fatal(err)
		}
		facts, _, err := want.Facts()
		if err != nil {
			t.Fatal(err)
		}
		m, err := ReadMessage(f, &rooms)
		if err != nil {
			t.Fatal(err)
		}
		whole, ok := m.Whole()
		if ok != (len(content) <= maxWhole) || ok && string(whole) != content {
			t.Errorf("%d bytes: whole %v, %d bytes", len(content), ok, len(whole))
		}
		if got, known, err := m.Facts(); got != facts || !known || err != nil {
			t.Errorf("%d bytes: %+v, %v, want %+v", len(content), got, err, facts)
		}
		for range 2 {
			if got, err := io.ReadAll(m.Reader()); err != nil || string(got) != content {
				t.Errorf("%d bytes: read %d, %v", len(content), len(got), err)
			}
			for _, m := range []*Message{m, want} {
				for _, e := range []Encoder{{}, {NoDots: true}} {
					var wire []byte
					err := m.Encoded([]byte("head"), e, func(b []byte) { wire = append(wire, b...) })
					wanted, partial := e.Close(e.Append([]byte("head"), []byte(content)))
					if !errors.Is(err, partial) || err == nil && !bytes.Equal(wire, wanted) {
						t.Errorf("%d bytes: encoded as %d, %v", len(content), len(wire), err)
					}
				}
			}
		}
	}
	f := messageFile(t, "x\n")
	m, err := ReadMessage(f, &rooms)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	if _, ok := m.Whole(); ok {
		t.Error("a closed file was read")
	}
	if _, _, err := m.Facts(); err == nil {
		t.Error("facts of a closed file")
	}
	if _, err := ReadMessage(f, &rooms); err == nil {
		t.Error("a closed file was opened")
	}
}

// TestEncodedChanges: content that is not what it was does not travel under the
// length that was announced.
func TestEncodedChanges(t *testing.T) {
	const content = "first\nsecond\n"
	for now, travels := range map[string]bool{content: true, "First\nsecond\n": true, "first\r\necond\n": false, "first\n": false, "first\nsecond ": false} {
		f := messageFile(t, content)
		m, err := ReadMessage(f, &Rooms{})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := m.Facts(); err != nil {
			t.Fatal(err)
		}
		m.Forget()
		if err := os.WriteFile(f.Name(), []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		done := false
		err = m.Encoded(nil, Encoder{NoDots: true}, func([]byte) { done = true })
		if done != travels || (err == nil) != travels {
			t.Errorf("%q: travels %v, %v", now, done, err)
		}
	}
}
