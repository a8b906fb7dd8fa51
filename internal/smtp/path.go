package smtp

import (
	"strings"
	"unicode/utf8"
)

// AppendPath appends addr, a bare address as qmail gives it, as the path of
// MAIL or RCPT: "<…>" (RFC 5321 §4.1.2). The empty address is "<>". What stands
// before the last "@" is the local part, quoted when it must be; without an
// "@" all of addr is. The domain is copied as it is.
//
// It panics at a CR, LF or NUL, which would speak to the server in our name:
// ask SafeAddress first.
func AppendPath(dst []byte, addr string) []byte {
	if strings.ContainsAny(addr, "\r\n\x00") {
		panic("smtp: address with CR, LF or NUL in a path")
	}
	local, domain := cutAddress(addr)
	dst = append(dst, '<')
	if addr != "" && mustQuote(local) {
		dst = appendQuoted(dst, local)
	} else {
		dst = append(dst, local...)
	}
	dst = append(dst, domain...)
	return append(dst, '>')
}

// SafeAddress reports whether addr can stand in a command: it has no CR, LF or
// NUL anywhere, and in its domain, which is never quoted, nothing that could
// end the path before its ">": no control character, blank or angle bracket.
func SafeAddress(addr string) bool {
	if strings.ContainsAny(addr, "\r\n\x00") {
		return false
	}
	_, domain := cutAddress(addr)
	for i := range len(domain) {
		if c := domain[i]; c <= ' ' || c == '<' || c == '>' || c == 0x7f {
			return false
		}
	}
	return true
}

// NeedsUTF8 reports whether an address of e has a byte over 0x7f, so that the
// envelope cannot be said without SMTPUTF8 (RFC 6531 §3.1).
func (e *Envelope) NeedsUTF8() bool {
	if hasEightBit([]byte(e.Sender)) {
		return true
	}
	for _, rcpt := range e.Rcpts {
		if hasEightBit([]byte(rcpt)) {
			return true
		}
	}
	return false
}

// cutAddress splits addr before its last "@", which stays with the domain.
func cutAddress(addr string) (local, domain string) {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return addr[:i], addr[i:]
	}
	return addr, ""
}

// mustQuote reports whether local is no Dot-string (RFC 5321 §4.1.2).
// Compat(qmail): the same addresses are quoted as by qmail, except that
// non-ASCII letters need no quotes in UTF-8 (RFC 6531 §3.3).
func mustQuote(local string) bool {
	if local == "" || local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, "..") {
		return true
	}
	ascii := true
	for i := range len(local) {
		c := local[i]
		if c >= utf8.RuneSelf {
			ascii = false
		} else if c != '.' && !isAtext(c) {
			return true
		}
	}
	return !ascii && !utf8.ValidString(local)
}

// isAtext reports whether c may stand in an atom (RFC 5322 §3.2.3).
func isAtext(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return c != 0 && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// appendQuoted appends local as a Quoted-string (RFC 5321 §4.1.2).
func appendQuoted(dst []byte, local string) []byte {
	dst = append(dst, '"')
	for i := range len(local) {
		if c := local[i]; c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, local[i])
	}
	return append(dst, '"')
}
