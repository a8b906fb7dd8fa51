package authup

import (
	"strconv"

	"postrider/internal/fdconn"
)

// log writes one line, made of parts, for people: "authup PID ...". A log that
// cannot be written is no reason to send anybody away.
func (s *session) log(parts ...string) {
	line := append(make([]byte, 0, 256), "authup "...)
	line = strconv.AppendInt(line, int64(s.PID), 10)
	line = append(line, ' ')
	for _, p := range parts {
		line = append(line, p...)
	}
	fdconn.WriteAll(s.Errors, append(line, '\n'))
}

// clean is s as it may stand in a log: what is not printable ASCII is "?", a
// space too, so that no client writes a line, or a word, of its own.
func clean(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c <= ' ' || c > '~' {
			b[i] = '?'
		}
	}
	return string(b)
}
