package mess822

import (
	"strings"
	"testing"
	"time"
)

// printed is a list as a header would have it, items divided by " ;; ".
func printed(text string) string {
	var items []string
	for _, a := range Addresses(text) {
		items = append(items, string(a.append(nil, false)))
	}
	return strings.Join(items, " ;; ")
}

func TestAddresses(t *testing.T) {
	for why, list := range map[string][][2]string{
		"words and what divides them": {
			{``, ``},
			{` 	`, ``},
			{`"a" b@c`, `a ;; b@c`},
			{`a@b,,c@d`, `a@b ;; c@d`},
			{`a@b; c@d`, `a@b ;; c@d`},
			{`a@b c@d`, `a@b ;; c@d`},
			{`a . b @ c`, `a.b@c`},
			{`a!b!c`, `a!b!c`},
			{"a@b,\n\tc@d", `a@b ;; c@d`},
		},
		"comments": {
			{`(only comment)`, `"only comment": ;`},
			{`a@b (one) c@d (two)`, `a@b ;; "one two" <c@d>`},
			{`a@b (c (d) e)`, `"c (d) e" <a@b>`},
			{`a@b (x), (y) c@d`, `"x" <a@b> ;; "y" <c@d>`},
			{`a@b (  one  two  )`, `"one two" <a@b>`},
			{`(a)(b) c`, `"a b" <c>`},
			{`a (un(terminated)`, `"un(terminated)" <a>`},
			{`(c), b`, `"c" <b>`},
		},
		"angles and phrases": {
			{`Joe Shmoe <joe@h>, fred`, `"Joe Shmoe" <joe@h> ;; fred`},
			{"Joe\n\tShmoe\n\t<joe@h>", `"Joe Shmoe" <joe@h>`},
			{`x <a@b> y`, `"x" <a@b> ;; y`},
			{`<a@b> <c@d>`, `a@b ;; c@d`},
			{`<>`, `<>`},
			{`x <>`, `"x" <>`},
			{`Doe, John <j@d>`, `Doe ;; "John" <j@d>`},
			{`John.Doe <j@d>`, `"John.Doe" <j@d>`},
			{`"John [x]" <j@d>`, `"John \[x\]" <j@d>`},
			{`"Foo: Bar" <a@b>`, `"Foo: Bar" <a@b>`},
			{`<a b@c>`, `ab@c`},
			{`<a@b`, `a@b`},
			{`a@b>`, `a@b`},
			{`<<a>>`, `a`},
		},
		"source routes": {
			{`<@r:j@x.y> (c)`, `"@r c" <j@x.y>`},
			{`x <@a,@b:c@d>`, `"x @a@b" <c@d>`},
		},
		"groups": {
			{`group: a, b@x;`, `"group" <a> ;; b@x`},
			{`undisclosed-recipients:;`, `"undisclosed-recipients": ;`},
			{`A: B: c@d;`, `"A": ; ;; "B" <c@d>`},
			{`g1: a@b; g2: c@d;`, `"g1" <a@b> ;; "g2" <c@d>`},
			{`x:; b@c`, `"x" <b@c>`},
			{`x: y <b@c>;`, `"x": ; ;; "y" <b@c>`},
		},
		"half an address": {
			{`@x`, `""@x`},
			{`a@`, `a`},
			{`@`, `<>`},
			{`a@@b`, `"a@"@b`},
			{`a@b@c`, `"a@b"@c`},
			{`"a@b"`, `"a@b"`},
		},
		"quotes": {
			{`a@"b c"`, `a@"b c"`},
			{`"\"q\""@x`, `"\"q\""@x`},
			{`"unterminated`, `unterminated`},
			{`"un terminated\`, `"un terminated\\"`},
			{`x@z.`, `x@"z."`},
			{`.x@y..z`, `".x"@"y..z"`},
			{`a\,b@c`, `"a,b"@c`},
			{`""@x`, `""@x`},
			{"\"a\x00b\rc\"@x", "\"a\\\x00b\\\rc\"@x"},
			{"j\xc3\xb6rg@x", "\"j\xc3\xb6rg\"@x"},
		},
		"literals": {
			{`a@[1.2.3.4]`, `a@[1.2.3.4]`},
			{`a@[1, 2]`, `a@[1, 2]`},
			{`a@[x\]"y]`, `a@[x\]\"y]`},
			{`a@[1.2`, `a@[1.2]`},
			{`[a]@b`, `"\[a\]"@b`},
		},
		"words of RFC 2047, which are read only where they are not quoted": {
			{`=?utf-8?q?J=C3=B6rg?= <j@x>`, `=?utf-8?q?J=C3=B6rg?= <j@x>`},
			{"=?utf-8?q?J=C3=B6rg?=\n =?utf-8?b?w7Y=?= <j@x>", `=?utf-8?q?J=C3=B6rg?= =?utf-8?b?w7Y=?= <j@x>`},
			{`j@x (=?utf-8?q?J=C3=B6rg?=)`, `=?utf-8?q?J=C3=B6rg?= <j@x>`},
			{`=?utf-8?q?J.?=: j@x;`, `=?utf-8?q?J.?= <j@x>`},
			{`=?utf-8?q?g?=:;`, `=?utf-8?q?g?=: ;`},
			{`"=?utf-8?q?J=C3=B6rg?=" <j@x>`, `"=?utf-8?q?J=C3=B6rg?=" <j@x>`},
			{`=?utf-8?q?J=C3=B6rg?= Doe <j@x>`, `"=?utf-8?q?J=C3=B6rg?= Doe" <j@x>`},
			{`=?utf-8?q?a\,b?= <j@x>`, `"=?utf-8?q?a,b?=" <j@x>`},
			{`=?x?= <j@x>`, `"=?x?=" <j@x>`},
			{`=??q?x?= =?=?=?= =?a?b?c?d?= <j@x>`, `"=??q?x?= =?=?=?= =?a?b?c?d?=" <j@x>`},
		},
	} {
		for _, c := range list {
			if got := printed(c[0]); got != c[1] {
				t.Errorf("%s: %q\n got %s\nwant %s", why, c[0], got, c[1])
			}
		}
	}
}

func TestUTF8Addresses(t *testing.T) {
	for text, want := range map[string]string{
		"j\xc3\xb6rg@x\xc3\xb6.y":   "j\xc3\xb6rg@x\xc3\xb6.y",
		"\"j\xc3\xb6 rg\"@x":        "\"j\xc3\xb6 rg\"@x",
		"J\xc3\xb6rg <j\xc3\xb6@x>": "\"J\xc3\xb6rg\" <j\xc3\xb6@x>",
	} {
		if got := string(appendList(nil, "", Addresses(text), true)); got != want+"\n" {
			t.Errorf("%s: %s", text, got)
		}
	}
}

func TestFolding(t *testing.T) {
	a30, b25 := strings.Repeat("a", 30), strings.Repeat("b", 25)
	for text, want := range map[string]string{
		"a@b, c@d": "To: a@b, c@d\n",
		// 78 columns, the comma counted, and 79.
		a30 + "@" + b25 + ".c, ccc@dd.eeeeee, x@y":  "To: " + a30 + "@" + b25 + ".c, ccc@dd.eeeeee,\n  x@y\n",
		a30 + "@" + b25 + ".c, ccc@dd.eeeeeee, x@y": "To: " + a30 + "@" + b25 + ".c,\n  ccc@dd.eeeeeee, x@y\n",
		// One that is too long for any line has one of its own.
		"a@b, " + a30 + a30 + "@" + b25 + ".c, x@y": "To: a@b,\n  " + a30 + a30 + "@" + b25 + ".c,\n  x@y\n",
		a30 + a30 + "@" + b25:                       "To: " + a30 + a30 + "@" + b25 + "\n",
	} {
		if got := string(appendList(nil, "To: ", Addresses(text), false)); got != want {
			t.Errorf("%s\n got %s\nwant %s", text, got, want)
		}
	}
}

// TestHostileLists: S32. Only what is not linear takes so long.
func TestHostileLists(t *testing.T) {
	const n = 200_000
	for name, text := range map[string]string{
		"addresses":            strings.Repeat("joe@host.example,", n/10),
		"words":                strings.Repeat("a ", n),
		"commas":               strings.Repeat(",", n),
		"nested comments":      strings.Repeat("(", n) + strings.Repeat(")", n),
		"comments":             strings.Repeat("(x)", n),
		"quotes":               strings.Repeat(`"`, n),
		"quoted quotes":        `"` + strings.Repeat(`\"`, n),
		"angles":               strings.Repeat("<", n) + strings.Repeat(">", n),
		"empty addresses":      strings.Repeat("<>", n),
		"groups":               strings.Repeat("a:", n),
		"groups of one":        strings.Repeat("a:b;", n),
		"routes":               "<" + strings.Repeat("@a:", n) + ">",
		"at signs":             strings.Repeat("@", n),
		"dots":                 strings.Repeat("a.", n),
		"blanks":               "a" + strings.Repeat(" ", n) + "b",
		"blanks in a phrase":   "a" + strings.Repeat(" ", n) + "b <c@d>",
		"literals":             strings.Repeat("[", n),
		"encoded words":        strings.Repeat("=?a?q?b?= ", n/10) + "<a@b>",
		"phrase of many words": strings.Repeat("ab ", n) + "<a@b>",
	} {
		from := time.Now()
		appendList(nil, "To: ", Addresses(text), false)
		ParseDate(text)
		if took := time.Since(from); took > 30*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}
