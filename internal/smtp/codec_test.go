package smtp

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// canonical is content with every line end, CR LF, CR or LF, as one LF.
func canonical(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}

// stuffed is canonical content on the wire, said the slow way.
func stuffed(s string, dots bool) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		if dots && line[0] == '.' {
			b.WriteByte('.')
		}
		b.WriteString(strings.ReplaceAll(line, "\n", "\r\n"))
	}
	return b.String()
}

// encode encodes chunks, and closes.
func encode(e Encoder, chunks ...string) (string, error) {
	var wire []byte
	for _, c := range chunks {
		wire = e.Append(wire, []byte(c))
	}
	wire, err := e.Close(wire)
	return string(wire), err
}

func TestEncoder(t *testing.T) {
	for _, group := range []struct {
		reason string
		cases  map[string]string
	}{
		{"line ends", map[string]string{
			"":               ".\r\n",
			"\n":             "\r\n.\r\n",
			"a\n":            "a\r\n.\r\n",
			"a\nb\n":         "a\r\nb\r\n.\r\n",
			"a\r\nb\r\n":     "a\r\nb\r\n.\r\n",
			"a\rb\n":         "a\r\nb\r\n.\r\n",
			"a\r\r\n":        "a\r\n\r\n.\r\n",
			"a\n\rb\n":       "a\r\n\r\nb\r\n.\r\n",
			"\x00\xff\x80\n": "\x00\xff\x80\r\n.\r\n",
		}},
		{"dots", map[string]string{
			".\n":       "..\r\n.\r\n",
			"..\n":      "...\r\n.\r\n",
			".a\n.b\n":  "..a\r\n..b\r\n.\r\n",
			"a.\n":      "a.\r\n.\r\n",
			"a\n.\nb\n": "a\r\n..\r\nb\r\n.\r\n",
		}},
		{"smuggling: what follows a bare CR begins a line", map[string]string{
			"a\r.\r\nMAIL\n":   "a\r\n..\r\nMAIL\r\n.\r\n",
			"a\r.\rb\n":        "a\r\n..\r\nb\r\n.\r\n",
			"a\n.\rb\n":        "a\r\n..\r\nb\r\n.\r\n",
			"a\r\n.\rb\n":      "a\r\n..\r\nb\r\n.\r\n",
			"\r.\r\n":          "\r\n..\r\n.\r\n",
			"a\r\r.\r\n":       "a\r\n\r\n..\r\n.\r\n",
			"a\n\r.\r\n":       "a\r\n\r\n..\r\n.\r\n",
			"a\n\r.\r.\rb\n":   "a\r\n\r\n..\r\n..\r\nb\r\n.\r\n",
			"a\x00\r.\x00\r\n": "a\x00\r\n..\x00\r\n.\r\n",
		}},
	} {
		for in, want := range group.cases {
			if got, err := encode(Encoder{}, in); err != nil || got != want {
				t.Errorf("%s: %q: %q, %v; want %q", group.reason, in, got, err, want)
			}
		}
	}
}

func TestEncoderNoDots(t *testing.T) {
	for in, want := range map[string]string{
		"":              "",
		".\n":           ".\r\n",
		"a\n.\nb\n":     "a\r\n.\r\nb\r\n",
		"a\r.\r\nb\n":   "a\r\n.\r\nb\r\n",
		"..a\r\r\n..\n": "..a\r\n\r\n..\r\n",
	} {
		if got, err := encode(Encoder{NoDots: true}, in); err != nil || got != want {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

// C68: nothing that says "this is the end" follows a partial line.
func TestPartialLines(t *testing.T) {
	for _, in := range []string{"a", ".", "\r", "a\r", "a\nb", "a\n.", "a\r\n\r", "a\n\x00"} {
		for _, noDots := range []bool{false, true} {
			got, err := encode(Encoder{NoDots: noDots}, in)
			if !errors.Is(err, ErrPartialLine) || strings.HasSuffix(got, "\r\n.\r\n") {
				t.Errorf("%q: %q, %v", in, got, err)
			}
		}
	}
}

// allStrings yields every string over {CR, LF, '.', 'a'} of at most n bytes.
func allStrings(n int, yield func(string)) {
	var b []byte
	var grow func()
	grow = func() {
		yield(string(b))
		if len(b) == n {
			return
		}
		for _, c := range []byte("\r\n.a") {
			b = append(b, c)
			grow()
			b = b[:len(b)-1]
		}
	}
	grow()
}

// checkWire checks what must hold of every content's wire form, whatever it is.
func checkWire(t *testing.T, in, wire string, err error) {
	t.Helper()
	partial := in != "" && !strings.HasSuffix(in, "\n")
	if partial != errors.Is(err, ErrPartialLine) || !partial && err != nil {
		t.Fatalf("%q: %v", in, err)
	}
	text := strings.ReplaceAll(wire, "\r\n", "")
	if strings.ContainsAny(text, "\r\n") {
		t.Fatalf("%q: bare CR or LF in %q", in, wire)
	}
	end := strings.Index("\r\n"+wire, "\r\n.\r\n")
	if partial && end >= 0 || !partial && end != len(wire)-len(".\r\n") {
		t.Fatalf("%q: the content %q ends at %d", in, wire, end)
	}
	if partial {
		return
	}
	var d Decoder
	out, n, err := d.Append(nil, []byte(wire+"QUIT\r\n"))
	if err != nil || !d.Done() || n != len(wire) || string(out) != canonical(in) {
		t.Fatalf("%q: %q decodes to %q, %d bytes used, %v", in, wire, out, n, err)
	}
}

// C70, exhaustively: any content, broken at any place.
func TestEncoderAllStrings(t *testing.T) {
	allStrings(8, func(in string) {
		for i := range len(in) + 1 {
			wire, err := encode(Encoder{}, in[:i], in[i:])
			checkWire(t, in, wire, err)
			body := strings.TrimSuffix(wire, ".\r\n")
			if err != nil {
				body = wire
			}
			if want := stuffed(canonical(in), true); body != want {
				t.Fatalf("%q, broken at %d: %q, want %q", in, i, body, want)
			}
			plain, _ := encode(Encoder{NoDots: true}, in[:i], in[i:])
			if want := stuffed(canonical(in), false); plain != want {
				t.Fatalf("%q, broken at %d, without dots: %q, want %q", in, i, plain, want)
			}
		}
	})
}

// Append never writes more than it says it needs.
func TestEncoderRoom(t *testing.T) {
	allStrings(6, func(in string) {
		for i := range len(in) + 1 {
			var e Encoder
			for _, chunk := range []string{in[:i], in[i:]} {
				if got := e.Append(nil, []byte(chunk)); len(got) > 2*len(chunk) {
					t.Fatalf("%q: %d bytes", chunk, len(got))
				}
			}
		}
	})
}

func TestEncoderAppends(t *testing.T) {
	var e Encoder
	dst := e.Append([]byte("BDAT "), []byte("a\n"))
	if string(dst) != "BDAT a\r\n" {
		t.Errorf("%q", dst)
	}
	if n := testing.AllocsPerRun(10, func() { e.Append(dst[:0], []byte("b\n")) }); n != 0 {
		t.Errorf("%v allocations with room enough", n)
	}
}

// TestCrowded: long texts whose lines are short in places, in chunks of any size,
// are encoded and examined as short texts are.
func TestCrowded(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var b strings.Builder
		for b.Len() < 3*block {
			piece := [...]string{"\n", "\r", "\r\n", ".", "a", "ab\n", ".\n", "\r.\r", strings.Repeat("x", 40) + "\n"}[r.IntN(9)]
			b.WriteString(strings.Repeat(piece, 1+r.IntN(60)))
		}
		in := b.String()
		var chunks []string
		var x examiner
		for rest := in; len(rest) > 0; {
			n := min(len(rest), 1+r.IntN(2*block))
			chunks, rest = append(chunks, rest[:n]), rest[n:]
			x.add([]byte(chunks[len(chunks)-1]))
		}
		wire, err := encode(Encoder{}, chunks...)
		checkWire(t, in, wire, err)
		plain := canonical(in)
		if x.facts.Wire != int64(len(plain)+strings.Count(plain, "\n")) || x.header.over != strings.Contains("\n"+plain, "\n\n") {
			t.Fatalf("%q: %+v", in, x)
		}
	}
}

func FuzzEncoder(f *testing.F) {
	f.Add("a\r.\r\nMAIL\n", 2, 3)
	f.Add("..\n.\n\r\r\n", 1, 1)
	f.Add("last line\n.", 0, 9)
	f.Fuzz(func(t *testing.T, in string, i, j int) {
		i = min(max(i, 0), len(in))
		j = min(max(j, i), len(in))
		wire, err := encode(Encoder{}, in[:i], in[i:j], in[j:])
		checkWire(t, in, wire, err)
	})
}

func BenchmarkEncoder(b *testing.B) {
	line := strings.Repeat("x", 75) + "\n"
	for name, text := range map[string]string{
		"text":        line,
		"CRLF":        line[1:len(line)-1] + "\r\n",
		"dots":        "." + line[1:],
		"short lines": "x\n",
		"empty lines": "\n",
		"bare CR":     "x\r",
		"one line":    strings.Repeat("y", 32<<10),
	} {
		src := []byte(strings.Repeat(text, 32<<10/len(text)))
		b.Run(name, func(b *testing.B) {
			dst := make([]byte, 0, 2*len(src))
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			var e Encoder
			for b.Loop() {
				e.Append(dst, src)
			}
		})
	}
}
