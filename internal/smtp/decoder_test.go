package smtp

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestDecoder(t *testing.T) {
	for _, c := range []struct{ reason, in, want string }{
		{"nothing", ".\r\n", ""},
		{"a line", "a\r\n.\r\n", "a\n"},
		{"dots", "..b\r\n.c\r\n...\r\n..\r\na.\r\n.\r\n", ".b\nc\n..\n.\na.\n"},
		{"CR CR LF", "a\r\r\n.\r\n", "a\r\n"},
		{"a CR within", "a\rb\r\n.\r\n", "a\rb\n"},
		{"a CR first", "\rb\r\n.\r\n", "\rb\n"},
		{"a dot and a CR", ".\rX\r\n.\r\n", ".\rX\n"},
		{"a dot, a CR and a dot", ".\r.\r\n.\r\n", ".\r.\n"},
		{"a dot and two CRs", ".\r\r\n.\r\n", ".\r\n"},
		{"all other bytes", "\x00\t\x7f\x80\xff\r\n.\r\n", "\x00\t\x7f\x80\xff\n"},
	} {
		for cut := range len(c.in) {
			var b Decoder
			out, n, err := b.Append(nil, []byte(c.in[:cut]))
			if n != cut || err != nil || b.Done() {
				t.Fatalf("%s, %d bytes: %d used, %v, %v", c.reason, cut, n, b.Done(), err)
			}
			out, n, err = b.Append(out, []byte(c.in[cut:]+"QUIT\r\n"))
			if string(out) != c.want || n != len(c.in)-cut || err != nil || !b.Done() {
				t.Errorf("%s, cut at %d: %q, %d, %v", c.reason, cut, out, n, err)
			}
			if out, n, err := b.Append(nil, []byte("x\n")); len(out) != 0 || n != 0 || err != nil {
				t.Errorf("%s: after the end %q, %d, %v", c.reason, out, n, err)
			}
		}
	}
}

// S1: what other servers have taken for the end of a message.
func TestDecoderSmuggling(t *testing.T) {
	const next = "MAIL FROM:<x@y>\r\n"
	for _, c := range []struct {
		end  string
		bare bool // an LF by itself: refused
	}{
		{"\n.\n", true}, {"\n.\r\n", true}, {"\r\n.\n", true}, {"\n.\r.\r\n", true}, {"\r.\n", true}, {"\n\n.\r\n", true},
		{"\r\n.\r\r\n", false}, {"\r.\r", false}, {"\r\n.\r", false}, {"\r.\r\n", false}, {"\r\r\n.\r\r\n", false}, {"\r\n\r.\r\n", false},
		{"\r\n..\r\n", false}, {"\r\n. \r\n", false}, {"\r\n.\x00\r\n", false}, {"\x00\r\n\x00.\r\n", false},
	} {
		in := "a" + c.end + next
		for cut := range len(in) {
			var b Decoder
			_, _, err := b.Append(nil, []byte(in[:cut]))
			if err == nil {
				_, _, err = b.Append(nil, []byte(in[cut:]))
			}
			if b.Done() || errors.Is(err, ErrBareLF) != c.bare {
				t.Errorf("%q, cut at %d: done %v, %v", c.end, cut, b.Done(), err)
			}
			if out, n, again := b.Append(nil, []byte("\r\n.\r\n")); err != nil && (len(out) != 0 || n != 0 || again != err) {
				t.Errorf("%q: goes on after the error: %q, %d, %v", c.end, out, n, again)
			}
		}
	}
}

// slowDecode decodes all of src at once, by looking around: the content, and what
// is behind its end. Without an end, content is what it may yet become.
func slowDecode(src string) (content, rest string, bare, ok bool) {
	for {
		if strings.HasPrefix(src, ".\r\n") {
			return content, src[3:], false, true
		}
		if !strings.HasPrefix(src, ".\r") {
			src = strings.TrimPrefix(src, ".")
		}
		line, next, whole := strings.Cut(src, "\n")
		if !whole {
			return content + src, "", false, false
		}
		if line, whole = strings.CutSuffix(line, "\r"); !whole {
			return content, "", true, false
		}
		content += line + "\n"
		src = next
	}
}

// decode is all that a Decoder makes of src, given in two parts.
func decode(src string, cut int) (content, rest string, b Decoder, err error) {
	out, n, err := b.Append(nil, []byte(src[:cut]))
	if err == nil && !b.Done() {
		var m int
		out, m, err = b.Append(out, []byte(src[cut:]))
		n += m
	}
	return string(out), src[n:], b, err
}

func checkDecoder(t *testing.T, src string, cut int) {
	t.Helper()
	content, rest, b, err := decode(src, cut)
	wantContent, wantRest, bare, ok := slowDecode(src)
	if b.Done() != ok || errors.Is(err, ErrBareLF) != bare {
		t.Fatalf("%q at %d: done %v, %v", src, cut, b.Done(), err)
	}
	if ok && (content != wantContent || rest != wantRest) {
		t.Fatalf("%q at %d: %q and %q, want %q and %q", src, cut, content, rest, wantContent, wantRest)
	}
	if !ok && !bare && (!strings.HasPrefix(wantContent, content) || len(wantContent) > len(content)+2) {
		t.Fatalf("%q at %d: so far %q, want a beginning of %q", src, cut, content, wantContent)
	}
}

// Every string of up to eight of the bytes that matter, whole and in two parts.
func TestDecoderAll(t *testing.T) {
	const letters = "\r\n.a"
	for length := range 9 {
		for number := range 1 << (2 * length) {
			src := make([]byte, length)
			for i := range src {
				src[i] = letters[number>>(2*i)&3]
			}
			checkDecoder(t, string(src), length)
			if length <= 6 {
				for cut := range length {
					checkDecoder(t, string(src), cut)
				}
			}
		}
	}
}

// What our client sends arrives as it was, in whatever parts; the client makes
// a CR alone a line end.
func TestDecoderOfEncoder(t *testing.T) {
	content := []byte("..\n.\n\na\x00b\n.a.\n\n..\n")
	var e Encoder
	wire, err := e.Close(e.Append(nil, content))
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(wire) {
		if got, rest, b, err := decode(string(wire), cut); got != string(content) || rest != "" || !b.Done() || err != nil {
			t.Errorf("cut at %d: %q, %q, %v", cut, got, rest, err)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	for _, src := range []string{"a\r\n.\r\n", ".\r\r\n.\r\nx", "\n", "\r.\r\n..\r\n.\r\n", ".\ra\r\n"} {
		f.Add(src, 3)
	}
	f.Fuzz(func(t *testing.T, src string, cut int) {
		checkDecoder(t, src, min(max(cut, 0), len(src)))
		var e Encoder
		wire, err := e.Close(e.Append(nil, []byte(src)))
		if err != nil {
			return
		}
		got, _, b, err := decode(string(wire), len(wire)/2)
		want := bytes.ReplaceAll(bytes.ReplaceAll([]byte(src), []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
		if !b.Done() || err != nil || got != string(want) {
			t.Errorf("encoded and decoded %q: %q, %v", src, got, err)
		}
	})
}

func BenchmarkDecoder(b *testing.B) {
	wire := []byte(strings.Repeat(strings.Repeat("x", 75)+"\r\n", 400))
	dst := make([]byte, 0, len(wire))
	b.SetBytes(int64(len(wire)))
	var d Decoder
	for b.Loop() {
		if _, _, err := d.Append(dst, wire); err != nil {
			b.Fatal(err)
		}
	}
}
