package smtp

import (
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// segmentations are the ways in which the same bytes may arrive.
var segmentations = map[string]func(io.Reader) io.Reader{
	"whole":         func(r io.Reader) io.Reader { return r },
	"bytewise":      iotest.OneByteReader,
	"error at once": iotest.DataErrReader,
}

func TestReplies(t *testing.T) {
	type replies []Reply
	one := func(code int, lines ...string) replies { return replies{{code, lines}} }
	for _, group := range []struct {
		reason string
		cases  map[string]replies
	}{
		{"the forms of RFC 5321 section 4.2", map[string]replies{
			"250 ok\r\n":                     one(250, "250 ok"),
			"250-a\r\n250-b\r\n250 c\r\n":    one(250, "250-a", "250-b", "250 c"),
			"220\r\n":                        one(220, "220"),
			"250 \r\n":                       one(250, "250 "),
			"250-\r\n250 \r\n":               one(250, "250-", "250 "),
			"250-a\r\n250\r\n":               one(250, "250-a", "250"),
			"354 go\r\n":                     one(354, "354 go"),
			"421 4.3.2 bye\r\n":              one(421, "421 4.3.2 bye"),
			"599 ?\r\n":                      one(599, "599 ?"),
			"220 a\r\n250 b\r\n":             {{220, []string{"220 a"}}, {250, []string{"250 b"}}},
			"250-a\r\n250 b\r\n550-c\n550\n": {{250, []string{"250-a", "250 b"}}, {550, []string{"550-c", "550"}}},
			"220 ***********\r\n":            one(220, "220 ***********"),
		}},
		{"C36: the Internet's line ends, and bytes that the report cleans", map[string]replies{
			"250 ok\n":               one(250, "250 ok"),
			"250-a\n250 b\r\n":       one(250, "250-a", "250 b"),
			"250 a\rb\r\n":           one(250, "250 a\rb"),
			"250 a\r\r\n":            one(250, "250 a\r"),
			"250 \x00\x1b[2J\xff\n":  one(250, "250 \x00\x1b[2J\xff"),
			"250\n":                  one(250, "250"),
			"250 a\r\n250 b\r\r\r\n": {{250, []string{"250 a"}}, {250, []string{"250 b\r\r"}}},
		}},
		{"C78: fake records are text", map[string]replies{
			"250 ok\x00Dgone\r\n": one(250, "250 ok\x00Dgone"),
		}},
	} {
		for in, want := range group.cases {
			for how, segment := range segmentations {
				r := NewReader(segment(strings.NewReader(in)))
				for i, w := range want {
					got, err := r.ReadReply()
					if err != nil || got.Code != w.Code || !slices.Equal(got.Lines, w.Lines) {
						t.Errorf("%s, %s: %q: reply %d = %v, %v", group.reason, how, in, i, got, err)
					}
				}
				if _, err := r.ReadReply(); err != io.EOF || r.Buffered() != 0 {
					t.Errorf("%s, %s: %q: after the last reply: %v, %d buffered", group.reason, how, in, err, r.Buffered())
				}
			}
		}
	}
}

func TestNotReplies(t *testing.T) {
	for _, group := range []struct {
		reason string
		cases  []string
	}{
		{"C28: another protocol", []string{"HTTP/1.1 400 Bad Request\r\n", "SSH-2.0-OpenSSH\r\n", "\x16\x03\x01\x02\n", "* OK IMAP\r\n", "+OK\r\n"}},
		{"C28, C76: a code that is none", []string{"2500 ok\r\n", "25 ok\r\n", "25\r\n", "2\n", "25a ok\r\n", "abc\r\n", " 250 ok\r\n", "-250 ok\r\n",
			"250_ok\r\n", "250ok\r\n", "250\tok\r\n", "250\r\r\n", "２５０ ok\r\n"}},
		{"C76: a class that is none", []string{"150 ok\r\n", "000 ok\r\n", "199 ok\n", "600 ok\r\n", "999 ok\r\n"}},
		{"C28, C76: a blank line", []string{"\r\n250 ok\r\n", "\n", "250-a\r\n\r\n250 b\r\n"}},
		{"C35: codes that differ", []string{"250-a\r\n550 b\r\n", "550-a\r\n250 b\r\n", "250-a\r\n251-b\r\n250 c\r\n", "250-a\r\nb\r\n250 c\r\n"}},
	} {
		for _, in := range group.cases {
			for how, segment := range segmentations {
				r := NewReader(segment(strings.NewReader(in)))
				got, err := r.ReadReply()
				var pe *ProtocolError
				if !errors.As(err, &pe) || pe.What == "" || got.Code != 0 || got.Lines != nil {
					t.Errorf("%s, %s: %q: %v, %v", group.reason, how, in, got, err)
				}
				if _, again := r.ReadReply(); again != err {
					t.Errorf("%s, %s: %q: failed with %v, then %v", group.reason, how, in, err, again)
				}
			}
		}
	}
}

// C74: what has no line end is not said.
func TestRepliesCutShort(t *testing.T) {
	reset := errors.New("connection reset")
	for in, atEOF := range map[string]error{
		"":                      io.EOF,
		"2":                     io.ErrUnexpectedEOF,
		"250 ok":                io.ErrUnexpectedEOF,
		"250 ok\r":              io.ErrUnexpectedEOF,
		"250-ok\r\n":            io.ErrUnexpectedEOF,
		"250-ok\r\n250 ":        io.ErrUnexpectedEOF,
		"\x15\x03\x03\x00\x02(": io.ErrUnexpectedEOF,
	} {
		for how, segment := range segmentations {
			r := NewReader(segment(strings.NewReader(in)))
			for range 2 {
				if got, err := r.ReadReply(); err != atEOF {
					t.Errorf("%s: %q then EOF: %v, %v; want %v", how, in, got, err, atEOF)
				}
			}
			r = NewReader(segment(io.MultiReader(strings.NewReader(in), iotest.ErrReader(reset))))
			for range 2 {
				if got, err := r.ReadReply(); err != reset {
					t.Errorf("%s: %q then reset: %v, %v", how, in, got, err)
				}
			}
		}
	}
}

// C77: a reply that came whole counts, though the connection broke with it.
func TestReplyBeforeError(t *testing.T) {
	reset := errors.New("connection reset")
	r := NewReader(iotest.DataErrReader(io.MultiReader(strings.NewReader("250 ok\r\n"), iotest.ErrReader(reset))))
	if got, err := r.ReadReply(); err != nil || got.Code != 250 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := r.ReadReply(); err != reset {
		t.Errorf("then %v", err)
	}
}

type silent struct{}

func (silent) Read([]byte) (int, error) { return 0, nil }

func TestSourceWithoutProgress(t *testing.T) {
	if _, err := NewReader(silent{}).ReadReply(); err != io.ErrNoProgress {
		t.Errorf("%v", err)
	}
}

// endless is a peer that says the same for ever; it counts what is taken.
type endless struct {
	say   string
	taken int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.say[(e.taken+i)%len(e.say)]
	}
	e.taken += len(p)
	return len(p), nil
}

func TestReplyBounds(t *testing.T) {
	lines := func(n, width int) string {
		line := "250-" + strings.Repeat("x", width-6) + "\r\n"
		return strings.Repeat(line, n-1) + "250 " + line[4:]
	}
	reply, ehlo := (*Reader).ReadReply, (*Reader).ReadEHLO
	for _, c := range []struct {
		name string
		in   string
		read func(*Reader) (Reply, error)
		ok   bool
	}{
		{"as many lines as may be", lines(MaxReplyLines, 80), reply, true},
		{"a line too many", lines(MaxReplyLines+1, 80), reply, false},
		{"as many bytes as may be", lines(128, MaxReplyBytes/128), reply, true},
		{"a byte too many", "250-\r\n" + lines(64, MaxReplyBytes/64), reply, false},
		{"one line as long as may be", lines(1, MaxReplyBytes), reply, true},
		{"one line a byte longer", lines(1, MaxReplyBytes+1), reply, false},
		{"C33: 5000 keywords", lines(5000, 20), ehlo, true},
		{"EHLO: as many lines as may be", lines(MaxEHLOLines, 32), ehlo, true},
		{"EHLO: a line too many", lines(MaxEHLOLines+1, 8), ehlo, false},
		{"EHLO: a byte too many", "250-\r\n" + lines(64, MaxEHLOBytes/64), ehlo, false},
	} {
		got, err := c.read(NewReader(strings.NewReader(c.in)))
		var pe *ProtocolError
		if c.ok && (err != nil || got.Code != 250) || !c.ok && !errors.As(err, &pe) {
			t.Errorf("%s: code %d, %v", c.name, got.Code, err)
		}
		if !c.ok && pe != nil && len(pe.Line) > 300 {
			t.Errorf("%s: the error keeps %d bytes", c.name, len(pe.Line))
		}
	}
}

// C37: an endless reply costs no more than its bound.
func TestEndlessReplies(t *testing.T) {
	for _, say := range []string{"x", "2", "250-\n", "220-more\r\n", "\r", "250-" + strings.Repeat("y", 9000) + "\n"} {
		for name, read := range map[string]func(*Reader) (Reply, error){"reply": (*Reader).ReadReply, "EHLO": (*Reader).ReadEHLO} {
			src := &endless{say: say}
			r := NewReader(src)
			_, err := read(r)
			var pe *ProtocolError
			if !errors.As(err, &pe) || src.taken > MaxEHLOBytes+4096 {
				t.Errorf("%s of %.10q…: %v after %d bytes", name, say, err, src.taken)
			}
			if cap(r.text) > 4096 {
				t.Errorf("%s of %.10q…: keeps %d bytes", name, say, cap(r.text))
			}
		}
	}
}

// RFC 3207 section 4.2: what came before TLS is not heard after it.
func TestReset(t *testing.T) {
	r := NewReader(strings.NewReader("220 go\r\n250 injected\r\n"))
	if _, err := r.ReadReply(); err != nil {
		t.Fatal(err)
	}
	if got := r.Buffered(); got != len("250 injected\r\n") {
		t.Errorf("%d bytes buffered", got)
	}
	r.Reset(strings.NewReader("garbage\r\n"))
	if r.Buffered() != 0 {
		t.Error("Reset left bytes")
	}
	if _, err := r.ReadReply(); err == nil {
		t.Error("garbage is a reply")
	}
	r.Reset(strings.NewReader("250 fresh\r\n"))
	if got, err := r.ReadReply(); err != nil || got.String() != "250 fresh" {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "220\n", "250-a\r\n550 b\r\n", "\r\n", "250 a\rb\r\r\n250 "} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		read := func(src io.Reader) (all []string, err error) {
			r := NewReader(src)
			for {
				reply, err := r.ReadReply()
				if err != nil {
					return all, err
				}
				if reply.Code < 200 || reply.Code > 599 || len(reply.Lines) == 0 || len(reply.Lines) > MaxReplyLines {
					t.Fatalf("impossible reply %d %q", reply.Code, reply.Lines)
				}
				all = append(all, reply.Lines...)
			}
		}
		whole, err := read(strings.NewReader(in))
		bytewise, err2 := read(iotest.OneByteReader(strings.NewReader(in)))
		if !slices.Equal(whole, bytewise) || err.Error() != err2.Error() {
			t.Fatalf("segments matter: %q, %v; %q, %v", whole, err, bytewise, err2)
		}
		said := strings.ReplaceAll(in, "\r\n", "\n")
		for _, line := range whole {
			if !strings.HasPrefix(said, line+"\n") {
				t.Fatalf("%q is not what was said: %q", line, said)
			}
			said = said[len(line)+1:]
		}
	})
}

func BenchmarkReadReply(b *testing.B) {
	for name, say := range map[string]string{
		"one line": "250 2.0.0 Ok: queued as 4XyZ1234\r\n",
		"EHLO":     ehloReply,
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(say)))
			r := NewReader(&endless{say: say})
			for b.Loop() {
				if _, err := r.ReadReply(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
