package fixsmtpio

import (
	"strings"
	"testing"
)

func TestMatch(t *testing.T) {
	for reason, cases := range map[string][]struct {
		pattern, name string
		want          bool
	}{
		"the whole, line end and all": {
			{"250 ok", "250 ok", true}, {"250 ok", "250 ok\r\n", false}, {"250 ok*", "250 ok\r\n", true}, {"", "", true}, {"", "x", false}, {"250 ok?", "250 ok\n", true},
		},
		"stars": {
			{"*", "", true}, {"*", "a\r\n", true}, {"2*", "250 x\r\n", true}, {"2*", "421\r\n", false}, {"*a*b", "xaxbxab", true}, {"*a*b", "xaxbxa", false},
			{"a**b", "ab", true}, {"*ab", "aab", true}, {"a*", "b", false}, {"*?", "", false}, {"*?", "x", true}, {"2*ok*", "250 no", false},
		},
		"no separator is special": {
			{"a*c", "a/b/c", true}, {"a?c", "a/c", true}, {"*", ".hidden", true}, {"a[/]c", "a/c", true}, {"?x", ".x", true},
		},
		"classes": {
			{"250[- ]AUTH*", "250-AUTH LOGIN\r\n", true}, {"250?AUTH*", "250 AUTH\r\n", true}, {"[0-5]", "3", true}, {"[0-5]", "6", false}, {"[!0-5]", "6", true}, {"[^0-5]", "3", false},
			{"[]]", "]", true}, {"[!]]", "]", false}, {"[]-]", "-", true}, {"[a-]", "-", true}, {"[-a]", "-", true}, {"[a-c-e]", "d", false}, {"[a-c-e]", "-", true},
			{"[[:digit:]x]", "7", true}, {"[[:digit:]x]", "x", true}, {"[[:digit:]x]", "d", false}, {"[![:space:]]", "\r", false}, {"[[:nonsense:]]", "n", false}, {"[[:upper:][:lower:]]", "q", true},
			{`[\]]`, "]", true}, {`[\a-c]`, "b", true}, {"[z-a]", "m", false}, {"[[:alpha:]", "[h", true}, {"[a", "[a", true}, {"[a", "a", false}, {"[", "[", true}, {"[!", "[!", true}, {"x[", "x[", true},
		},
		"backslashes": {
			{`\*`, "*", true}, {`\*`, "x", false}, {`\a`, "a", true}, {`a\`, "a", false}, {`a\`, `a\`, false}, {`\\`, `\`, true}, {`\[a]`, "[a]", true},
		},
		"bytes, not letters": {
			{"?", "é", false}, {"??", "é", true}, {"[\x80-\xff]", "\xe9", true}, {"A", "a", false},
		},
	} {
		for _, c := range cases {
			if got := match(c.pattern, c.name); got != c.want {
				t.Errorf("%s: %q, %q: %v", reason, c.pattern, c.name, got)
			}
		}
	}
}

// TestMatchIsBounded would run for years if stars were tried in all combinations.
func TestMatchIsBounded(t *testing.T) {
	if match(strings.Repeat("*a", 200)+"b", strings.Repeat("a", 10000)) {
		t.Error("it matches")
	}
}

func TestClasses(t *testing.T) {
	for name, want := range map[string]string{
		"upper": "ABZ", "lower": "abz", "alpha": "ABZabz", "digit": "09", "alnum": "09ABZabz", "xdigit": "09ABab",
		"graph": "!09ABZ[abz~", "print": " !09ABZ[abz~", "punct": "![~", "blank": "\t ", "space": "\t\r ", "cntrl": "\x00\t\r\x7f", "word": "",
	} {
		got := ""
		for _, c := range []byte("\x00\t\r !09ABZ[abz~\x7f\xe9") {
			if match("[[:"+name+":]]", string(c)) != match("[![:"+name+":]]", string([]byte{c})) && ofClass(name, c) {
				got += string([]byte{c})
			}
		}
		if got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
