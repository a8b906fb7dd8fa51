package mess822

import "strings"

// kind is what a token is. A special character is a kind of its own, the
// character; the others are named here.
type kind uint8

const (
	blank   kind = ' '
	atom    kind = 'a'
	quoted  kind = '"'
	literal kind = '['
	comment kind = '('
)

// mark is where a token begins, shifted left by eight, and its kind. It ends
// where the next one begins. A list of many megabytes has many millions of
// tokens: that each is one word bounds the memory.
type mark uint64

func (m mark) kind() kind { return kind(m) }
func (m mark) at() int    { return int(m >> 8) }

// tokens is a text divided. Every byte belongs to one token. The last mark is
// behind the end of the text if the last token is not terminated.
type tokens struct {
	text  string
	marks []mark // and one more, for the end
}

// divide finds the tokens of text (RFC 822 §3.3, as qmail reads it). What is
// unterminated ends with the text.
func divide(text string) tokens {
	t := tokens{text: text, marks: make([]mark, 0, 16)}
	i := 0
	for i < len(text) {
		k, next := one(text, i)
		t.marks = append(t.marks, mark(i)<<8|mark(k))
		i = next
	}
	t.marks = append(t.marks, mark(i)<<8)
	return t
}

// one is the kind of the token at i, and where the next begins.
func one(text string, i int) (kind, int) {
	switch c := text[i]; c {
	case '<', '>', ',', ';', ':', '@', '.':
		return kind(c), i + 1
	case ' ', '\t', '\n':
		return blank, i + 1
	case '"':
		return quoted, closing(text, i, 0, '"')
	case '[':
		return literal, closing(text, i, 0, ']')
	case '(':
		return comment, closing(text, i, '(', ')')
	}
	for i < len(text) && !strings.ContainsRune("<>,;:@. \t\n\"[(", rune(text[i])) {
		if text[i] == '\\' {
			i++
		}
		i++
	}
	return atom, min(i, len(text))
}

// closing is behind the last byte of what begins at i and ends with end. If
// nest is not 0, it begins another within. It is behind the end of the text for
// what does not end: a backslash does not end anything.
func closing(text string, i int, nest, end byte) int {
	depth := 1
	for i++; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == end:
			depth--
			if depth == 0 {
				return i + 1
			}
		case c == nest && nest != 0:
			depth++
		}
	}
	return len(text) + 1
}

// word is what the i-th token says: without the quotes of a quoted string or
// the outer parentheses of a comment, and without backslashes. A literal has
// its brackets.
func (t *tokens) word(i int) string {
	s := t.text[t.marks[i].at():min(t.marks[i+1].at(), len(t.text))]
	k := t.marks[i].kind()
	switch k {
	case quoted, comment, literal:
		s = s[1:]
		if t.marks[i+1].at() <= len(t.text) { // it is terminated
			s = s[:len(s)-1]
		}
		s = unescape(s)
	case atom:
		s = unescape(s)
	}
	if k == literal {
		s = "[" + s + "]"
	}
	return s
}

// unescape takes the backslashes out of s. One at the end stays.
func unescape(s string) string {
	from := strings.IndexByte(s, '\\')
	if from < 0 {
		return s
	}
	b := append(make([]byte, 0, len(s)), s[:from]...)
	for i := from; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}
