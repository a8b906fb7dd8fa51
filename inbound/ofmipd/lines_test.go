package ofmipd

import (
	"strings"
	"testing"

	"postrider/internal/smtp"
)

func TestLines(t *testing.T) {
	for why, list := range map[string][][2]string{ // what comes behind the end is behind "|"
		"the end":            {{".\r\n", "|"}, {".\n", "|"}, {"a\r\n.\r\nb", "a\n|b"}, {"a\n.\nb", "a\n|b"}, {".\r\n.\r\n", "|.\r\n"}},
		"line ends":          {{"a\r\nb\nc\r\r\n.\n", "a\nb\nc\r\n|"}, {"\r\n\n.\r\n", "\n\n|"}},
		"CR elsewhere":       {{"a\rb\r\n.\n", "a\rb\n|"}, {"\r\rb\n.\n", "\r\rb\n|"}, {"\r.\n.\n", "\r.\n|"}},
		"dots":               {{"..\r\n.\r\n", ".\n|"}, {"..a\n.a\n...\n.\n", ".a\na\n..\n|"}, {"a.\n.\n", "a.\n|"}},
		"a dot, and then CR": {{".\ra\n.\n", "\ra\n|"}, {".\r\r\n.\n", "\r\n|"}, {".\r.\r\n.\n", "\r.\n|"}},
		"no end":             {{".", ""}, {".\r", ""}, {"a\r", "a"}, {"a\n..", "a\n."}},
	} {
		for _, c := range list {
			want, behind, done := strings.Cut(c[1], "|")
			for _, step := range []int{1, 2, len(c[0])} {
				var l lines
				var out []byte
				taken := 0
				for in := c[0]; in != "" && !l.Done(); in = c[0][taken:] {
					var n int
					out, n = l.Append(out, []byte(in[:min(step, len(in))]))
					taken += n
				}
				if string(out) != want || l.Done() != done || done && c[0][taken:] != behind {
					t.Errorf("%s: %q, %d at once: %q, %v, left %q", why, c[0], step, out, l.Done(), c[0][taken:])
				}
			}
		}
	}
}

// S1: from whoever ends commands in CRLF, ends of a message that are none, with
// "!" where what follows is heard no more.
func TestStrictLines(t *testing.T) {
	for in, want := range map[string]string{
		".\r\nx": "|x", "a\r\n.\r\nx": "a\n|x", "a\nb\r\n.\r\nx": "a\nb\n|x", "\n\r\n.\r\n": "\n\n|", "a\n..\nb\r\n.\r\n": "a\n.\nb\n|",
		"a\n.\nx": "a\n!x", "a\n.\r\nx": "a\n!x", "a\r\n.\nx": "a\n!x", ".\nx": "!x", "\n.\r\nx": "\n!x", "a\r\n\n.\r\nx": "a\n\n!x",
		"a\r\n.\r\r\nx": "a\n\r\nx", "a\r.\r\nx": "a\r.\nx", "a\r\n.\rx": "a\n\rx", "a\r.\rx": "a\r.\rx", "a\r\r\n.\r\nx": "a\r\n|x",
	} {
		for _, step := range []int{1, 2, len(in)} {
			l := lines{strict: true}
			var out []byte
			taken := 0
			for taken < len(in) && !l.Done() && !l.Mixed() {
				var n int
				out, n = l.Append(out, []byte(in[taken:min(taken+step, len(in))]))
				taken += n
			}
			got := string(out)
			switch {
			case l.Done():
				got += "|" + in[taken:]
			case l.Mixed():
				got += "!" + in[taken:]
			}
			if got != want {
				t.Errorf("%q, %d at once: %q, want %q", in, step, got, want)
			}
		}
	}
}

// What our client sends of every text of one, three, five and seven of the bytes that matter is
// what is queued, in whatever parts, but for a CR alone, which the client makes
// a line end; nothing of it is refused.
func TestLinesOfEncoder(t *testing.T) {
	const letters = "\r\n.a"
	for number := range 1 << 16 { // of seven letters, and how many of them
		content := make([]byte, number>>14*2+1)
		for i := range content {
			content[i] = letters[number>>(2*i)&3]
		}
		content = append(content, '\n')
		var e smtp.Encoder
		wire, err := e.Close(e.Append(nil, content))
		if err != nil {
			t.Fatal(err)
		}
		want := strings.ReplaceAll(strings.ReplaceAll(string(content), "\r\n", "\n"), "\r", "\n")
		for cut := range wire {
			l := lines{strict: true}
			out, n := l.Append(nil, wire[:cut])
			out, m := l.Append(out, wire[cut:])
			if string(out) != want || n+m != len(wire) || !l.Done() {
				t.Fatalf("%q, cut at %d: %q, done %v", content, cut, out, l.Done())
			}
		}
	}
}

func TestHead(t *testing.T) {
	for _, c := range []struct{ why, in, text, tail string }{
		{"nothing", "", "", ""},
		{"a header only", "X: y\n z\n", "X: y\n z\n", ""},
		{"header and body", "X: y\n\nb\n", "X: y\n", "\nb\n"},
		{"an empty body", "X: y\n\n", "X: y\n", "\n"},
		{"a body only", "\nb\n", "", "\nb\n"},
		{"a line that is no field", "X: y\nb\nY: z\n", "X: y\n", "\nb\nY: z\n"},
		{"no field at all", "b\n\nX: y\n", "", "\nb\n\nX: y\n"},
		{"a text that is indented", " b\n c\n", "", "\n b\n c\n"},
		{"a text that is indented, and more", " b\nc\n", "", "\n b\nc\n"},
		{"a text that is indented, and an empty line", "\tb\n\nc\n", "", "\n\tb\n\nc\n"},
		{"a continuation of nothing", " b\nX: y\n\nc\n", " b\nX: y\n", "\nc\n"},
	} {
		for _, step := range []int{1, 3, 100} {
			var h head
			var body []byte
			for in := c.in; in != ""; in = in[min(step, len(in)):] {
				more := []byte(in[:min(step, len(in))])
				if h.ended {
					body = append(body, more...)
				} else if !h.take(more) {
					t.Fatalf("%s: too large", c.why)
				}
			}
			if !h.ended {
				h.finish()
			}
			if got := string(h.tail) + string(body); string(h.text) != c.text || got != c.tail {
				t.Errorf("%s, %d at once: %q and %q", c.why, step, h.text, got)
			}
		}
	}
}

func TestHeadTooLarge(t *testing.T) {
	fill := func(text string) (h head, ok bool) {
		ok = true
		for ; text != "" && ok && !h.ended; text = text[min(4096, len(text)):] {
			ok = h.take([]byte(text[:min(4096, len(text))]))
		}
		return h, ok
	}
	field := "X: " + strings.Repeat("y", 995) + "\n"
	if h, ok := fill(strings.Repeat(field, maxHeader/len(field)) + "\nbody"); !ok || !h.ended {
		t.Error("a header of what is allowed is too large")
	}
	for why, text := range map[string]string{
		"fields":          strings.Repeat(field, maxHeader/len(field)+1) + "\nbody",
		"one field":       "X: " + strings.Repeat("y", maxHeader),
		"no name":         strings.Repeat("y", maxHeader+1),
		"indented":        strings.Repeat(" "+field, maxHeader/len(field)+1),
		"one empty field": "X:" + strings.Repeat(" ", maxHeader),
	} {
		if _, ok := fill(text); ok {
			t.Errorf("%s: not too large", why)
		}
	}
}
