package smtp

import (
	"slices"
	"strconv"
	"strings"

	"postrider/internal/ascii"
)

// Bounds on what is kept of AUTH: names longer than RFC 4422 §3.1 allows and
// mechanisms after the 64th are as good as not offered.
const (
	maxMechanism  = 20
	maxMechanisms = 64
)

// ParseExtensions returns what a positive reply to EHLO offers (RFC 5321
// §4.1.1.1): every line but the first, which is the greeting. Nothing in it is
// an error: what is unknown or malformed is not offered. A reply that is not
// positive offers nothing.
func ParseExtensions(r Reply) Extensions {
	var x Extensions
	if !r.Positive() {
		return x
	}
	x.ESMTP = true
	for i := 1; i < len(r.Lines); i++ {
		if line := r.Lines[i]; len(line) > len("250-") {
			keyword, params := cutKeyword(line[len("250-"):])
			x.offer(keyword, params)
		}
	}
	return x
}

// offer files one line of the reply.
func (x *Extensions) offer(keyword, params string) {
	const longest = len("REQUIRETLS")
	if len(keyword) > longest {
		return
	}
	var b [longest]byte
	switch string(upper(b[:0], keyword)) {
	case "STARTTLS":
		x.StartTLS = true
	case "PIPELINING":
		x.Pipelining = true
	case "8BITMIME":
		x.EightBitMIME = true
	case "SMTPUTF8":
		x.SMTPUTF8 = true
	case "CHUNKING":
		x.Chunking = true
	case "REQUIRETLS":
		x.RequireTLS = true
	case "SIZE":
		x.offerSize(params)
	case "AUTH":
		x.offerAuth(params)
	}
}

// offerSize files a SIZE line (RFC 1870 §4). A limit that cannot be understood
// is no limit, and of two the larger one holds: a message must not bounce for
// a guess, and the server can still refuse it.
func (x *Extensions) offerSize(params string) {
	word, _ := cutWord(params)
	n, err := strconv.ParseUint(word, 10, 64)
	if err != nil {
		n = 0
	}
	if x.HasSize && (x.Size == 0 || n != 0 && n < x.Size) {
		n = x.Size
	}
	x.HasSize, x.Size = true, n
}

// offerAuth files an AUTH line (RFC 4954 §3). Field: old servers say AUTH=
// for old clients, often beside a proper line.
func (x *Extensions) offerAuth(params string) {
	for params != "" {
		var word string
		word, params = cutWord(params)
		word = strings.TrimLeft(word, "=")
		if !isMechanism(word) || len(x.Auth) == maxMechanisms {
			continue
		}
		var b [maxMechanism]byte
		name := upper(b[:0], word)
		if !slices.ContainsFunc(x.Auth, func(s string) bool { return s == string(name) }) {
			x.Auth = append(x.Auth, string(name))
		}
	}
}

func isMechanism(s string) bool {
	if s == "" || len(s) > maxMechanism {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// cutKeyword splits a line of the reply at the end of its first word, or at
// the first "=" in that.
func cutKeyword(s string) (keyword, params string) {
	s = trimBlanks(s)
	for i := range len(s) {
		if isBlank(s[i]) || s[i] == '=' {
			return s[:i], trimBlanks(s[i+1:])
		}
	}
	return s, ""
}

// cutWord splits s, which does not begin with a blank, after its first word.
func cutWord(s string) (word, rest string) {
	for i := range len(s) {
		if isBlank(s[i]) {
			return s[:i], trimBlanks(s[i+1:])
		}
	}
	return s, ""
}

func trimBlanks(s string) string {
	for s != "" && isBlank(s[0]) {
		s = s[1:]
	}
	return s
}

// isBlank also takes the CR of a line that ended in CR CR LF.
func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// upper appends s in upper case, ASCII letters only: Unicode folds other
// letters onto S and K.
func upper(dst []byte, s string) []byte {
	for i := range len(s) {
		dst = append(dst, ascii.Upper(s[i]))
	}
	return dst
}
