package ascii

import (
	"strings"
	"testing"
)

func TestOnlyASCIILettersFold(t *testing.T) {
	for c := range 256 {
		b := byte(c)
		lower, upper := b, b
		if b < 0x80 {
			lower, upper = strings.ToLower(string(rune(c)))[0], strings.ToUpper(string(rune(c)))[0]
		}
		if Lower(b) != lower || Upper(b) != upper || ToLower(string([]byte{b})) != string([]byte{lower}) {
			t.Errorf("%#x: lower %#x, upper %#x", c, Lower(b), Upper(b))
		}
	}
}

func TestEqualFold(t *testing.T) {
	for _, c := range []struct {
		s, t string
		want bool
	}{
		{"", "", true}, {"Mx.Example", "mX.eXAMPLE", true}, {"a", "ab", false}, {"@", "`", false}, {"[", "{", false},
		{"k", "\u212a", false}, {"\u00c4", "\u00e4", false}, {"\u00e4", "\u00e4", true},
	} {
		if EqualFold(c.s, c.t) != c.want {
			t.Errorf("EqualFold(%q, %q) is not %v", c.s, c.t, c.want)
		}
	}
}

func TestToLower(t *testing.T) {
	for s, want := range map[string]string{"": "", "abc": "abc", "aBC@[Z`": "abc@[z`", "\u00c4K": "\u00c4k", "\u212a": "\u212a"} {
		if got := ToLower(s); got != want || !EqualFold(s, want) {
			t.Errorf("%q: %q", s, got)
		}
		if EqualFold(s, want+"x") || s != "" && EqualFold(s, "X"+want[1:]) {
			t.Errorf("%q equals something else", s)
		}
	}
}
