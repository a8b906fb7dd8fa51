package mess822

import "testing"

func TestDefaultRules(t *testing.T) {
	rules := DefaultRules("me.example", "dom.example", "plus.example")
	for addr, want := range map[string]string{
		"joe":         "joe@me.example",
		"joe@":        "joe@me.example",
		"a@here":      "a@here.dom.example",
		"a@here.":     "a@here.dom.example",
		"a@b+":        "a@b.plus.example",
		"a@[1.2.3.4]": "a@[1.2.3.4]",
		"a@[x":        "a@[x",
		"a@x]":        "a@x]",
		"a@b@c":       "a@b@c.dom.example",
		"a@b.c":       "a@b.c",
		"a@b.c.":      "a@b.c",
		"a@b.c..":     "a@b.c.",
		"a@.":         "a@me.example",
		"a@+":         "a@.plus.example",
		"@x":          "@x.dom.example",
		"":            "",
		"@":           "",
		"@@":          "@@.dom.example",
	} {
		if got := rules.Address(addr); got != want {
			t.Errorf("%q: %q, want %q", addr, got, want)
		}
	}
}

func TestParseRules(t *testing.T) {
	for _, c := range []struct {
		why, host, want string
		lines           []string
	}{
		{"equal", "a.b", "c", []string{"=a.b:c"}},
		{"equal, in any case", "A.b", "C", []string{"=a.B:C"}},
		{"not equal", "xa.b", "xa.b", []string{"=a.b:c"}},
		{"suffix", "xa.b", "xc", []string{"*a.b:c"}},
		{"suffix, all of it", "a.b", "c", []string{"*a.b:c"}},
		{"no such suffix", "a.b", "a.b", []string{"*x.a.b:c"}},
		{"suffix of one label", "x.b", "x.c", []string{"?.b:.c"}},
		{"suffix of two", "x.y.b", "x.y.b", []string{"?.b:.c"}},
		{"suffix of a literal", "[x.b", "[x.b", []string{"?.b:.c"}},
		{"all becomes new", "x.y.b", "c", []string{"-.b:c"}},
		{"no suffix, nothing becomes new", "x.y.bb", "x.y.bb", []string{"-.b:c"}},
		{"in order, each once", "a", "a+++", []string{"*:+", "*+:++", "*++:+++"}},
		{"what a rule makes, the next one sees", "a", "c", []string{"=a:b", "=b:c", "=a:d"}},
		{"the first colon divides", "a", "b:c", []string{"=a:b:c"}},
		{"an empty new", "a", "", []string{"=a:"}},
		{"lines that are no rules", "a", "a", []string{"a:b", "+a:b", ":b", "=a", "", "="}},
	} {
		if got := ParseRules(c.lines).Host(c.host); got != c.want {
			t.Errorf("%s: %q, want %q", c.why, got, c.want)
		}
	}
}
