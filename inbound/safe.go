package inbound

import "strings"

// Safe is s with "?" for every byte that could mean something in a header field:
// what the client, or whoever answers for its address, says of itself.
// Compat(qmail): the same bytes stay.
func Safe(s string) string {
	b := []byte(s)
	for i, c := range b {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == 0 || strings.IndexByte(".@%+/=:-[]", c) < 0:
			b[i] = '?'
		}
	}
	return string(b)
}
