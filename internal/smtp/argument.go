package smtp

import "strings"

// Path is the argument of MAIL or RCPT, taken apart.
type Path struct {
	Address string   // bare: no source route, no quotes, no backslashes
	Params  []string // what stands after the path, "KEYWORD" or "KEYWORD=value" each
}

// ParsePath takes apart what follows MAIL or RCPT and its spaces: "FROM:<a@b>
// SIZE=7". Compat(qmail): what is no path in RFC 5321 §4.1.2 is one here; the
// words FROM: and TO: are not looked at, and neither angle bracket need be
// there. It is false for an address with a NUL or a CR in it, which must not
// get into an envelope or a header; length is the caller's to check.
//
// In the address quotation marks protect what ends it, and vanish; a backslash
// takes the next byte as it is, and vanishes too.
func ParsePath(arg string) (Path, bool) {
	end := byte('>')
	if i := strings.IndexByte(arg, '<'); i >= 0 {
		arg = arg[i+1:]
	} else {
		end = ' '
		_, arg, _ = strings.Cut(arg, ":")
		arg = strings.TrimLeft(arg, " ")
	}
	if strings.HasPrefix(arg, "@") { // a source route (RFC 5321 §4.1.1.3): ignored
		_, arg, _ = strings.Cut(arg, ":")
	}
	var p Path
	p.Address, arg = unquote(arg, end)
	for param := range strings.SplitSeq(arg, " ") {
		if param != "" {
			p.Params = append(p.Params, param)
		}
	}
	return p, !strings.ContainsAny(p.Address, "\x00\r")
}

// unquote gives s up to an unprotected end, without quoting, and what is behind
// that end.
func unquote(s string, end byte) (bare, rest string) {
	var quoted, escaped bool
	b := make([]byte, 0, len(s))
	for i := range len(s) {
		c := s[i]
		switch {
		case escaped:
			b = append(b, c)
			escaped = false
		case c == end && !quoted:
			return string(b), s[i+1:]
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		default:
			b = append(b, c)
		}
	}
	return string(b), ""
}
