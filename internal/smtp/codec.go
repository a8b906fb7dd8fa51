package smtp

import (
	"bytes"
	"errors"
	"slices"
)

// ErrPartialLine is content that does not end with LF.
var ErrPartialLine = errors.New("smtp: content does not end with a newline")

// Encoder turns content as qmail stores it into content as DATA carries it
// (RFC 5321 §4.5.2). The zero value is ready, at the start of a message.
//
// Every line end, be it LF, CR LF or a CR alone, becomes CRLF; and whatever
// stands after an emitted CRLF, or first, is the start of a line: a dot there
// is doubled. So no content can hold CRLF "." CRLF, or a CR or LF by itself
// that some server takes for a line end (message smuggling).
type Encoder struct {
	// NoDots leaves dots alone and ends without one, for BDAT (RFC 3030).
	NoDots bool

	mid bool // inside a line
	cr  bool // the last byte was a CR; its CRLF is emitted
}

// Long lines are found and copied as a whole, which is several times as fast as
// looking at each byte; but where line ends are closer than near, few times in
// a row, that is several times as slow, and the next block goes byte by byte.
const (
	near  = 8
	few   = 4
	block = 512
)

// Append appends src, encoded, to dst: at most twice as many bytes, which the
// caller had better have room for. Chunks may break anywhere.
func (e *Encoder) Append(dst, src []byte) []byte {
	for crowded := 0; len(src) > 0; {
		if crowded == few {
			n := min(len(src), block)
			dst = e.bytewise(dst, src[:n])
			src, crowded = src[n:], 0
			continue
		}
		if e.cr && src[0] == '\n' {
			e.cr = false
			src = src[1:]
			continue
		}
		e.cr = false
		i := bytes.IndexByte(src, '\r')
		if i < 0 {
			i = len(src)
		}
		var rest []byte
		if dst, rest = e.lines(dst, src[:i]); len(rest) > 0 {
			src, crowded = src[i-len(rest):], few
			continue
		}
		if src = src[i:]; len(src) > 0 {
			dst = append(dst, '\r', '\n')
			e.mid = false
			if src = src[1:]; len(src) == 0 {
				e.cr = true
			} else if src[0] == '\n' {
				src = src[1:]
			}
			if crowded++; i >= near {
				crowded = 0
			}
		}
	}
	return dst
}

// lines is Append for a src without CR. It leaves off where lines are short.
func (e *Encoder) lines(dst, src []byte) (out, rest []byte) {
	for crowded := 0; len(src) > 0; {
		if crowded == few {
			return dst, src
		}
		if src[0] == '.' && !e.mid && !e.NoDots {
			dst = append(dst, '.')
		}
		i := bytes.IndexByte(src, '\n')
		if e.mid = i < 0; e.mid {
			return append(dst, src...), nil
		}
		dst = append(dst, src[:i]...)
		dst = append(dst, '\r', '\n')
		src = src[i+1:]
		if crowded++; i >= near {
			crowded = 0
		}
	}
	return dst, nil
}

// bytewise is Append for a short src.
func (e *Encoder) bytewise(dst, src []byte) []byte {
	dst = slices.Grow(dst, 2*len(src))
	out, n := dst[len(dst):len(dst)+2*len(src)], 0
	mid, cr := e.mid, e.cr
	for _, c := range src {
		switch {
		case c == '\n' && cr:
		case c == '\n' || c == '\r':
			out[n], out[n+1] = '\r', '\n'
			n += 2
			mid = false
		case c == '.' && !mid && !e.NoDots:
			out[n], out[n+1] = '.', '.'
			n += 2
			mid = true
		default:
			out[n] = c
			n++
			mid = true
		}
		cr = c == '\r'
	}
	e.mid, e.cr = mid, cr
	return dst[:len(dst)+n]
}

// Close appends the line with the dot that ends the content; with NoDots,
// nothing. It returns ErrPartialLine, and dst as it was, when the content did
// not end with LF. An empty message is whole.
func (e *Encoder) Close(dst []byte) ([]byte, error) {
	if e.mid || e.cr {
		return dst, ErrPartialLine
	}
	if e.NoDots {
		return dst, nil
	}
	return append(dst, '.', '\r', '\n'), nil
}
