package smtp

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestAppendPath(t *testing.T) {
	for _, group := range []struct {
		reason string
		cases  map[string]string
	}{
		{"qmail's own senders", map[string]string{
			"":     "<>",
			"#@[]": "<#@[]>",
		}},
		{"what needs no quotes has none", map[string]string{
			"a@b":                          "<a@b>",
			"a.b.c@d":                      "<a.b.c@d>",
			"list-return-1-u=x.org@b":      "<list-return-1-u=x.org@b>",
			"!#$%&'*+-/=?^_`{|}~@b":        "<!#$%&'*+-/=?^_`{|}~@b>",
			"azAZ09@b":                     "<azAZ09@b>",
			"postmaster":                   "<postmaster>",
			"a@[192.0.2.1]":                "<a@[192.0.2.1]>",
			"a@[IPv6:2001:db8::1]":         "<a@[IPv6:2001:db8::1]>",
			strings.Repeat("x", 500) + "@": "<" + strings.Repeat("x", 500) + "@>",
		}},
		{"C72: what is no atom is quoted", map[string]string{
			"a b@c":     `<"a b"@c>`,
			"a>b@c":     `<"a>b"@c>`,
			"a<b@c":     `<"a<b"@c>`,
			"a,b@c":     `<"a,b"@c>`,
			"a;b@c":     `<"a;b"@c>`,
			"a:b@c":     `<"a:b"@c>`,
			"a(b)@c":    `<"a(b)"@c>`,
			"a[b]@c":    `<"a[b]"@c>`,
			"a\tb@c":    "<\"a\tb\"@c>",
			"a\x7fb@c":  "<\"a\x7fb\"@c>",
			"a\x1bb@c":  "<\"a\x1bb\"@c>",
			`a"b@c`:     `<"a\"b"@c>`,
			`a\b@c`:     `<"a\\b"@c>`,
			`"a"@c`:     `<"\"a\""@c>`,
			"a b":       `<"a b">`,
			"a@b@c":     `<"a@b"@c>`,
			"a@":        "<a@>",
			"@c":        `<""@c>`,
			"@":         `<""@>`,
			"@a,@b:c@d": `<"@a,@b:c"@d>`,
		}},
		{"dots where an atom has none", map[string]string{
			".a@c":   `<".a"@c>`,
			"a.@c":   `<"a."@c>`,
			"a..b@c": `<"a..b"@c>`,
			".@c":    `<"."@c>`,
			".":      `<".">`,
		}},
		{"8-bit: UTF-8 is an atom, other bytes are quoted", map[string]string{
			"jörg@c":    "<jörg@c>",
			"jö rg@c":   `<"jö rg"@c>`,
			"j\xf6rg@c": "<\"j\xf6rg\"@c>",
			"a@bücher":  "<a@bücher>",
			"a@b\xff":   "<a@b\xff>",
		}},
		{"the domain is as it was", map[string]string{
			"a@B.Example.": "<a@B.Example.>",
			"a@b..c":       "<a@b..c>",
			`a@"b`:         `<a@"b>`,
		}},
	} {
		for addr, want := range group.cases {
			if got := string(AppendPath([]byte("TO:"), addr)); got != "TO:"+want {
				t.Errorf("%s: %q: %s, want %s", group.reason, addr, got[3:], want)
			}
		}
	}
}

// Every byte by itself, against the characters of RFC 5322 section 3.2.3.
func TestQuotedBytes(t *testing.T) {
	const atext = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~"
	for c := range 256 {
		local := string([]byte{byte(c)})
		if strings.Contains("\r\n\x00", local) {
			continue
		}
		quoted := AppendPath(nil, local+"@d")[1] == '"'
		if want := !strings.Contains(atext, local); quoted != want {
			t.Errorf("%q quoted: %v", local, quoted)
		}
	}
}

func TestSafeAddress(t *testing.T) {
	for _, addr := range []string{"", "#@[]", "a@b", "a b@c", "a>b@c", "a\tb", "jörg@bücher", "a@[IPv6:::1]", "@", "a@b@c", "\xff@\xff"} {
		if !SafeAddress(addr) {
			t.Errorf("%q is called unsafe", addr)
		}
	}
	for _, addr := range []string{
		"a\r@b", "a\n@b", "a\x00@b", "a@b\r", "a@b\n", "a@b\x00", "\n", "\r\n", "a@b\r\nRCPT TO:<c@d>",
		"a@b> SIZE=1", "a@b c", "a@<b", "a@b>", "a@b\t", "a@\x7f", "a@b\x1b",
	} {
		if SafeAddress(addr) {
			t.Errorf("%q is called safe", addr)
		}
	}
}

func TestUnsafePathPanics(t *testing.T) {
	for _, addr := range []string{"a\r@b", "a@b\n", "\x00"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q became a path", addr)
				}
			}()
			AppendPath(nil, addr)
		}()
	}
}

func TestNeedsUTF8(t *testing.T) {
	for _, c := range []struct {
		e    Envelope
		want bool
	}{
		{Envelope{}, false},
		{Envelope{Sender: "a@b", Rcpts: []string{"c@d", "\x7f"}}, false},
		{Envelope{Sender: "a@bücher", Rcpts: []string{"c@d"}}, true},
		{Envelope{Sender: "a@b", Rcpts: []string{"c@d", "jörg@d"}}, true},
		{Envelope{Rcpts: []string{strings.Repeat("x", 40) + "\x80"}}, true},
		{Envelope{Sender: "a@xn--bcher-kva", ASCII: &Envelope{Sender: "ä"}}, false},
	} {
		if got := c.e.NeedsUTF8(); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
}

// readPath is the reader's side: it takes one path off s by RFC 5321's grammar
// and gives the address back.
func readPath(s string) (addr, rest string, ok bool) {
	if !strings.HasPrefix(s, "<") {
		return "", "", false
	}
	var b strings.Builder
	quoted := false
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && (quoted || b.Len() == 0):
			quoted = !quoted
		case quoted && c == '\\':
			i++
			b.WriteByte(s[i])
		case !quoted && c == '>':
			return b.String(), s[i+1:], true
		case !quoted && c == ' ':
			return "", "", false
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

func FuzzPath(f *testing.F) {
	for _, s := range []string{"", "#@[]", "a b@c", `a"\b@c`, "jörg@c", "@", "a..b", "a@b@c", "a@b> X=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		if !SafeAddress(addr) {
			return
		}
		path := string(AppendPath(nil, addr))
		if strings.ContainsAny(path, "\r\n\x00") {
			t.Fatalf("%q: unsafe path %q", addr, path)
		}
		got, rest, ok := readPath(path + " SIZE=1")
		if !ok || got != addr || rest != " SIZE=1" {
			t.Fatalf("%q: %s reads as %q, then %q", addr, path, got, rest)
		}
		local, _ := cutAddress(addr)
		if path != "<>" && path[1] != '"' && !utf8.ValidString(local) {
			t.Fatalf("%q: 8-bit bytes that are no UTF-8 stand unquoted", addr)
		}
	})
}

func BenchmarkAppendPath(b *testing.B) {
	b.ReportAllocs()
	dst := make([]byte, 0, 100)
	for b.Loop() {
		AppendPath(dst, "list-return-123-user=example.org@lists.example.net")
	}
}
