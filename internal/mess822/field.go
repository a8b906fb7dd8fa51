package mess822

import (
	"iter"
	"strings"
)

// Line tells what a line, without its end, is in a header: the continuation of
// a field, or the beginning of one. What is neither ends the header; RFC 5322
// wants that to be an empty line.
//
// The name of a field is one or more bytes from "!" to "~" but no colon, and
// blanks may stand between it and the colon (RFC 5322 §4.5).
func Line(line []byte) (continues, begins bool) {
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		return true, false
	}
	i := 0
	for i < len(line) && '!' <= line[i] && line[i] <= '~' && line[i] != ':' {
		i++
	}
	if i == 0 {
		return false, false
	}
	for i < len(line) && (line[i] == ' ' || line[i] == '\t') {
		i++
	}
	return false, i < len(line) && line[i] == ':'
}

// field is one field of a header.
type field struct {
	name string // as it was written
	body string // behind the colon, without line ends
	text string // all of it, line ends included
}

// fields divides a header, whose lines each end in LF. Continuations before the
// first field belong to none and are left out.
func fields(header string) iter.Seq[field] {
	return func(yield func(field) bool) {
		text := continued(header, 0)
		for rest := header[text:]; rest != ""; rest = rest[text:] {
			text = continued(rest, lineEnd(rest))
			name, body, _ := strings.Cut(rest[:text], ":")
			if !yield(field{
				name: strings.TrimRight(name, " \t"),
				body: strings.ReplaceAll(strings.TrimSuffix(body, "\n"), "\n", ""),
				text: rest[:text],
			}) {
				return
			}
		}
	}
}

// continued is where the continuations that begin at i end.
func continued(s string, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t') {
		i += lineEnd(s[i:])
	}
	return i
}

// lineEnd is behind the first LF.
func lineEnd(s string) int {
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i + 1
	}
	return len(s)
}
