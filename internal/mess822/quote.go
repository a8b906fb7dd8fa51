package mess822

import "strings"

// append puts a at the end of b as it is written in a header: "comment" <addr>,
// addr, "comment": ; or <>.
func (a Address) append(b []byte, utf8 bool) []byte {
	switch {
	case a.Addr == "":
		return append(a.phrase(b), ": ;"...)
	case a.Comment == "" && a.Addr == "@":
		return append(b, "<>"...)
	case a.Comment == "":
		return appendAddr(b, a.Addr, utf8)
	}
	b = append(a.phrase(b), " <"...)
	if a.Addr != "@" {
		b = appendAddr(b, a.Addr, utf8)
	}
	return append(b, '>')
}

// phrase puts the comment in double quotes, but for words of RFC 2047: within
// quotes nobody would decode them (§5(3)).
func (a Address) phrase(b []byte) []byte {
	if !a.quoted && encodedWords(a.Comment) {
		return append(b, a.Comment...)
	}
	return appendQuoted(b, a.Comment)
}

// encodedWords reports whether s is nothing but words =?charset?encoding?text?=
// that can stand in a phrase as they are.
func encodedWords(s string) bool {
	for word := range strings.SplitSeq(s, " ") {
		if len(word) < 4 || strings.Count(word, "?") != 4 ||
			!strings.HasPrefix(word, "=?") || !strings.HasSuffix(word, "?=") {
			return false
		}
		for _, c := range []byte(word) {
			if c <= ' ' || c > '~' || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
				return false
			}
		}
	}
	return true
}

// appendAddr puts an address local@host at the end of b, each side in quotes if
// it could not stand without.
func appendAddr(b []byte, addr string, utf8 bool) []byte {
	at := strings.LastIndexByte(addr, '@')
	local, host := addr[:at], addr[at+1:]
	b = appendWord(b, local, utf8)
	if host == "" {
		return b
	}
	b = append(b, '@')
	if strings.HasPrefix(host, "[") && strings.HasSuffix(host, "]") {
		b = append(b, '[')
		return append(appendEscaped(b, host[1:len(host)-1]), ']')
	}
	return appendWord(b, host, utf8)
}

func appendWord(b []byte, s string, utf8 bool) []byte {
	if needsQuotes(s, utf8) {
		return appendQuoted(b, s)
	}
	return append(b, s...)
}

// needsQuotes reports whether s is not a dot-atom (RFC 5322 §3.2.3), or with
// utf8 not one of RFC 6532 §3.2.
func needsQuotes(s string, utf8 bool) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return true
	}
	for _, c := range []byte(s) {
		switch {
		case c < '!' || c == 127 || (c > '~' && !utf8):
			return true
		case strings.IndexByte(`@<>[](),;:"\`, c) >= 0:
			return true
		}
	}
	return false
}

func appendQuoted(b []byte, s string) []byte {
	return append(appendEscaped(append(b, '"'), s), '"')
}

func appendEscaped(b []byte, s string) []byte {
	for _, c := range []byte(s) {
		switch c {
		case 0, '\r', '"', '\\', '[', ']':
			b = append(b, '\\')
		}
		b = append(b, c)
	}
	return b
}

// columns is how long a line may become before a list goes on in the next.
const columns = 78

// appendList puts a list behind the name of its field, "To: ", and ends it with
// LF.
func appendList(b []byte, name string, list []Address, utf8 bool) []byte {
	line := len(b)
	b = append(b, name...)
	for i, a := range list {
		if i > 0 {
			b = append(b, ", "...)
		}
		from := len(b)
		b = a.append(b, utf8)
		end := len(b)
		if i < len(list)-1 {
			end++ // the comma
		}
		if i > 0 && end-line > columns {
			b = append(b, 0, 0)
			copy(b[from+2:], b[from:])
			copy(b[from-1:], "\n  ")
			line = from
		}
	}
	return append(b, '\n')
}
