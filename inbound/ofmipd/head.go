package ofmipd

import (
	"bytes"

	"postrider/internal/mess822"
)

// maxHeader bounds a header, in bytes: it is held as a whole, and as a list of
// the addresses in it.
const maxHeader = 3 << 20

// head gathers the header of a message, whose lines end in LF.
type head struct {
	text  []byte // the header's lines; once it has ended, no more
	line  int    // where in text the line begins that has not come whole
	named bool   // a field has begun
	ended bool
	tail  []byte // once it has ended: what of the body has come
}

// take takes more of the message. Once the header has ended it is not asked any
// more. It is false when the header is too large.
func (h *head) take(more []byte) bool {
	from := len(h.text) // what is before that has no line end that we do not know
	h.text = append(h.text, more...)
	for !h.ended {
		n := bytes.IndexByte(h.text[from:], '\n')
		if n < 0 {
			return len(h.text) <= maxHeader
		}
		continues, begins := mess822.Line(h.text[h.line : from+n])
		h.named = h.named || begins
		if !continues && !begins {
			h.end()
			break
		}
		from += n + 1
		h.line = from
	}
	return h.line <= maxHeader
}

// end ends the header before the present line, which is the first of the body.
// An empty one divides them, or else there shall be one.
//
// A message of nothing but a text that is indented has no header: what looks
// like continuations is its body.
func (h *head) end() {
	h.ended = true
	if !h.named {
		h.line = 0
	}
	h.text, h.tail = h.text[:h.line], h.text[h.line:]
	if h.tail[0] != '\n' {
		h.tail = append([]byte{'\n'}, h.tail...)
	}
}

// finish is for a message that is its header only; a body of nothing but
// indented lines is one.
func (h *head) finish() {
	if !h.ended && !h.named && len(h.text) > 0 {
		h.end()
	}
	h.ended = true
}
