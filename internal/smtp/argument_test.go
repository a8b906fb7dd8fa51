package smtp

import (
	"slices"
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct{ reason, arg, want string }{
		{"as it should be", "FROM:<joe@here>", "joe@here"},
		{"the empty path", "FROM:<>", ""},
		{"no argument", "", ""},
		{"no colon, no bracket", "joe@here", ""},
		{"blanks", "TO: <joe@here>", "joe@here"},
		{"no brackets", "TO:joe@here x", "joe@here"},
		{"no brackets, blanks", "TO:   joe@here", "joe@here"},
		{"brackets before all else", "joe <a@b>", "a@b"},
		{"no end", "TO:<joe@here", "joe@here"},
		{"a source route", "TO:<@a,@b:joe@here>", "joe@here"},
		{"a source route without its colon", "TO:<@a>", ""},
		{"a route without brackets", "TO:@r:joe@here", "joe@here"},
		{"two colons of which one is the route's", "TO:<@r:@s:joe@here>", "@s:joe@here"},
		{"quotes go", `TO:<"a b"@c>`, "a b@c"},
		{"quotes protect the end", `TO:<"a>b"@c>`, "a>b@c"},
		{"and the blank, without brackets", `TO:"a b"@c d`, "a b@c"},
		{"a backslash goes", `TO:<a\@b@c>`, "a@b@c"},
		{"it protects the end", `TO:<a\>b@c>`, "a>b@c"},
		{"and a quotation mark", `TO:<"a\"b"@c>`, `a"b@c`},
		{"and itself", `TO:<a\\@c>`, `a\@c`},
		{"a backslash last", `TO:<a\`, "a"},
		{"quotes without end", `TO:<"a>b@c> X`, "a>b@c> X"},
		{"eight bits", "TO:<\xe9@c>", "\xe9@c"},
		{"a tab is no blank", "TO:\tjoe x", "\tjoe"},
	} {
		if got, ok := ParsePath(c.arg); !ok || got.Address != c.want {
			t.Errorf("%s: %q: %q, %v", c.reason, c.arg, got.Address, ok)
		}
	}
	for _, arg := range []string{"TO:<a\x00b@c>", "TO:<a\rb@c>", "TO:a@b\r", `TO:<"` + "\x00" + `"@c>`} {
		if p, ok := ParsePath(arg); ok {
			t.Errorf("%q is taken: %q", arg, p.Address)
		}
	}
}

func TestPathParams(t *testing.T) {
	for arg, want := range map[string][]string{
		"FROM:<a@b>":                        nil,
		"FROM:<a@b> SIZE=7  BODY=8BITMIME ": {"SIZE=7", "BODY=8BITMIME"},
		"FROM:<a@b>SMTPUTF8":                {"SMTPUTF8"},
		"FROM:a@b SIZE=7":                   {"SIZE=7"},
		`FROM:<"> X"@b> Y`:                  {"Y"},
		"FROM:<a@b X":                       nil,
	} {
		if got, _ := ParsePath(arg); !slices.Equal(got.Params, want) {
			t.Errorf("%q: %q", arg, got.Params)
		}
	}
}

// slowPath is ParsePath's address by another way: it eats the argument byte by
// byte, from the front.
func slowPath(arg string) string {
	eat := func(upTo byte) bool {
		for i := range len(arg) {
			if arg[i] == upTo {
				arg = arg[i+1:]
				return true
			}
		}
		return false
	}
	end := byte('>')
	if !eat('<') {
		end = ' '
		if !eat(':') {
			arg = ""
		}
		for arg != "" && arg[0] == ' ' {
			arg = arg[1:]
		}
	}
	if arg != "" && arg[0] == '@' && !eat(':') {
		arg = ""
	}
	address, quoted := "", false
	for ; arg != ""; arg = arg[1:] {
		if arg[0] == end && !quoted {
			break
		}
		if arg[0] == '"' {
			quoted = !quoted
			continue
		}
		if arg[0] == '\\' {
			if arg = arg[1:]; arg == "" {
				break
			}
		}
		address += arg[:1]
	}
	return address
}

func FuzzParsePath(f *testing.F) {
	for _, arg := range []string{"FROM:<a@b>", `TO:<@r:"a b\""@c> X=1`, "TO: a@b c", `<\`, "@:<@", "\x00\r"} {
		f.Add(arg)
	}
	f.Fuzz(func(t *testing.T, arg string) {
		p, ok := ParsePath(arg)
		if want := slowPath(arg); p.Address != want || ok == strings.ContainsAny(want, "\r\x00") {
			t.Errorf("%q: %q, %v, want %q", arg, p.Address, ok, want)
		}
		for _, param := range p.Params {
			if param == "" || strings.Contains(param, " ") || !strings.Contains(arg, param) {
				t.Errorf("%q: parameter %q", arg, param)
			}
		}
	})
}
