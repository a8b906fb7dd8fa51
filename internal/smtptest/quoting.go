package smtptest

import (
	"fmt"
	"strconv"
	"strings"
)

// unquote reads Go strings separated by blanks, each maybe followed by *N.
func unquote(s string) ([]byte, error) {
	var b []byte
	for s = skipComments(s); s != ""; s = skipComments(s) {
		q, err := strconv.QuotedPrefix(s)
		if err != nil {
			return nil, fmt.Errorf("not a Go string: %.40s", s)
		}
		text, err := strconv.Unquote(q)
		if err != nil {
			return nil, fmt.Errorf("not a Go string: %.40s", s)
		}
		s = s[len(q):]
		n := 1
		if rest, ok := strings.CutPrefix(s, "*"); ok {
			end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
			if end < 0 {
				end = len(rest)
			}
			if n, err = strconv.Atoi(rest[:end]); err != nil {
				return nil, fmt.Errorf("not a number of times: %.20s", rest)
			}
			s = rest[end:]
		}
		for range n {
			b = append(b, text...)
		}
	}
	return b, nil
}

// skipComments drops blanks and lines that begin with "#".
func skipComments(s string) string {
	for {
		s = strings.TrimLeft(s, " \t\n")
		if !strings.HasPrefix(s, "#") {
			return s
		}
		_, s, _ = strings.Cut(s, "\n")
	}
}

// words splits at blanks; a Go string inside a word stands for its bytes, as
// in "a b"@example (whose quotes therefore vanish).
func words(s string) ([]string, error) {
	var ws []string
	var w []byte
	in := false
	for s != "" {
		switch {
		case s[0] == '"':
			q, err := strconv.QuotedPrefix(s)
			if err != nil {
				return nil, fmt.Errorf("not a Go string: %.40s", s)
			}
			text, err := strconv.Unquote(q)
			if err != nil {
				return nil, fmt.Errorf("not a Go string: %.40s", s)
			}
			w, in, s = append(w, text...), true, s[len(q):]
		case s[0] == ' ' || s[0] == '\t' || s[0] == '\n':
			if in {
				ws = append(ws, string(w))
			}
			w, in, s = nil, false, s[1:]
		default:
			w, in, s = append(w, s[0]), true, s[1:]
		}
	}
	if in {
		ws = append(ws, string(w))
	}
	return ws, nil
}
