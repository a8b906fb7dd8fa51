package fixsmtpio

import "strings"

// match reports whether the whole of name matches a shell pattern as fnmatch(3)
// with no flags has it in the C locale: "*" and "?" match anything, also line
// ends, slashes and leading dots (which path.Match would not), and a backslash
// takes the next byte literally. "[" without its "]" is itself. Collating
// symbols, "[.x.]" and "[=x=]", are not known.
//
// It takes at most len(pattern)·len(name) steps: of several stars only the last
// one passed is ever tried again.
func match(pattern, name string) bool {
	star, again := -1, 0 // the pattern after the last star, and the name it takes up to
	p, n := 0, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, again = p, n
			continue
		}
		if size, ok := matchOne(pattern[p:], name[n]); ok {
			p += size
			n++
			continue
		}
		if star < 0 {
			return false
		}
		again++
		p, n = star, again
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchOne matches c against the beginning of pattern, which has no star there,
// and tells how much of the pattern that was.
func matchOne(pattern string, c byte) (size int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '\\':
		return 2, len(pattern) > 1 && pattern[1] == c
	case '[':
		if size, in := matchClass(pattern, c); size > 0 {
			return size, in
		}
	}
	return 1, pattern[0] == c
}

// matchClass matches c against the bracket expression that pattern begins with.
// Its size is 0 when it does not end.
func matchClass(pattern string, c byte) (size int, in bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern) && (first || pattern[i] != ']'); first = false {
		if name, ok := className(pattern[i:]); ok {
			in = in || ofClass(name, c)
			i += len("[:") + len(name) + len(":]")
			continue
		}
		low, n := literal(pattern[i:])
		high := low
		i += n
		if i+1 < len(pattern) && pattern[i] == '-' && pattern[i+1] != ']' {
			high, n = literal(pattern[i+1:])
			i += 1 + n
		}
		in = in || low <= c && c <= high
	}
	if i >= len(pattern) {
		return 0, false
	}
	return i + 1, in != negated
}

// literal is the byte that s begins with, and the size of how it is written.
func literal(s string) (c byte, size int) {
	if s[0] == '\\' && len(s) > 1 {
		return s[1], 2
	}
	return s[0], 1
}

// className is the name in "[:name:]" at the beginning of s.
func className(s string) (string, bool) {
	rest, ok := strings.CutPrefix(s, "[:")
	if !ok {
		return "", false
	}
	name, _, ok := strings.Cut(rest, ":]")
	return name, ok && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz") == ""
}

func ofClass(name string, c byte) bool {
	upper, lower := 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z'
	digit, graph := '0' <= c && c <= '9', '!' <= c && c <= '~'
	switch name {
	case "upper":
		return upper
	case "lower":
		return lower
	case "alpha":
		return upper || lower
	case "digit":
		return digit
	case "alnum":
		return upper || lower || digit
	case "xdigit":
		return digit || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
	case "graph":
		return graph
	case "print":
		return graph || c == ' '
	case "punct":
		return graph && !upper && !lower && !digit
	case "blank":
		return c == ' ' || c == '\t'
	case "space":
		return c == ' ' || '\t' <= c && c <= '\r'
	case "cntrl":
		return c < ' ' || c == 0x7f
	}
	return false
}
