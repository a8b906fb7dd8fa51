package smtp

import (
	"bytes"
	"errors"
)

// ErrBareLF is an LF without a CR before it in what follows DATA. Some servers
// take it for a line end, so that a message could be two for one of us
// (message smuggling); RFC 5321 §2.3.8 forbids it.
var ErrBareLF = errors.New("smtp: LF without CR in DATA")

// Decoder turns what follows DATA into lines that end in LF, without the dots that
// the client put before dots (RFC 5321 §4.5.2): the inverse of Encoder. The zero
// value is ready.
//
//	state      "."       CR            LF            other
//	lineStart  dot       lineCR        bare LF       midLine
//	dot        midLine   dotCR         bare LF       midLine      the first dot is dropped
//	dotCR      midLine   lineCR        end           midLine      after "." and CR
//	midLine    midLine   lineCR        bare LF       midLine
//	lineCR     midLine   lineCR        lineStart     midLine      after CR, but for LF
//
// Only CRLF "." CRLF ends the content. Compat(qmail): a CR that no LF follows
// is kept, as a byte like others, also after the dot of a line that began with
// one. Whatever sends it on has to see to it; ours does (Encoder).
type Decoder struct {
	state decoderState
	err   error
}

type decoderState uint8

const (
	lineStart decoderState = iota
	dot
	dotCR
	midLine
	lineCR
	done
)

// Done reports whether the end of the content was seen.
func (d *Decoder) Done() bool { return d.state == done }

// Append appends src, decoded, to dst: at most two bytes more than src has. It
// returns how much of src was used, which is all but what stands behind the end
// of the content. Its error is ErrBareLF, for good.
func (d *Decoder) Append(dst, src []byte) (out []byte, n int, err error) {
	for n < len(src) && d.err == nil && d.state != done {
		if d.state == midLine { // all bytes but two are alike
			rest := src[n:]
			if i := bytes.IndexByte(rest, '\r'); i >= 0 {
				rest = rest[:i]
			}
			if i := bytes.IndexByte(rest, '\n'); i >= 0 {
				rest = rest[:i]
			}
			dst = append(dst, rest...)
			if n += len(rest); n == len(src) {
				break
			}
		}
		dst = d.step(dst, src[n])
		n++
	}
	return dst, n, d.err
}

// step is one entry of the table.
func (d *Decoder) step(dst []byte, c byte) []byte {
	switch d.state {
	case lineCR:
		if c == '\n' {
			d.state = lineStart
			return append(dst, '\n')
		}
		dst = append(dst, '\r')
	case dotCR:
		if c == '\n' {
			d.state = done
			return dst
		}
		dst = append(dst, '.', '\r')
	case dot:
		if c == '\r' {
			d.state = dotCR
			return dst
		}
	case lineStart:
		if c == '.' {
			d.state = dot
			return dst
		}
	}
	switch c {
	case '\n':
		d.err = ErrBareLF
		return dst
	case '\r':
		d.state = lineCR
		return dst
	}
	d.state = midLine
	return append(dst, c)
}
