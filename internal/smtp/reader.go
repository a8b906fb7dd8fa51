package smtp

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// Bounds of one reply, line ends counted. RFC 5321 §4.5.3.1.5 promises lines
// of 512 bytes and says nothing of their number; a server may be hostile. EHLO
// has bounds of its own, because real servers offer surprisingly much.
const (
	MaxReplyBytes = 64 << 10
	MaxReplyLines = 128
	MaxEHLOBytes  = 256 << 10
	MaxEHLOLines  = 8192
)

// shownBytes is how much of an offending line a ProtocolError keeps.
const shownBytes = 200

// maxIdleReads is how often a source may return nothing and no error.
const maxIdleReads = 100

// Reader reads replies (RFC 5321 §4.2) within bounds. It reads ahead into a
// buffer of 512 bytes, and keeps no more of a reply than its bound. Once it has
// failed it fails the same way until Reset. Make it with NewReader.
type Reader struct {
	src  io.Reader
	err  error // returned by every call from now on
	late error // of src, which came together with bytes not yet used up
	text []byte
	r, w int // buf[r:w] is read and not yet used
	buf  [512]byte
}

// NewReader returns a Reader of what src gives.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Reset makes r read from src and forgets buffered bytes and errors.
func (r *Reader) Reset(src io.Reader) {
	r.src, r.err, r.late = src, nil, nil
	r.r, r.w = 0, 0
}

// Buffered is how many bytes have come that belong to no reply returned so far.
func (r *Reader) Buffered() int { return r.w - r.r }

// ReadReply reads one reply of at most MaxReplyBytes and MaxReplyLines. A
// reply is whole only with the line end of its last line. Its error is a
// *ProtocolError; or the source's: io.EOF where no byte of a reply had come,
// io.ErrUnexpectedEOF inside one, any other as it was.
func (r *Reader) ReadReply() (Reply, error) { return r.read(MaxReplyBytes, MaxReplyLines) }

// ReadEHLO is ReadReply with the bounds MaxEHLOBytes and MaxEHLOLines.
func (r *Reader) ReadEHLO() (Reply, error) { return r.read(MaxEHLOBytes, MaxEHLOLines) }

func (r *Reader) read(maxBytes, maxLines int) (Reply, error) {
	if r.err != nil {
		return Reply{}, r.err
	}
	reply, err := r.reply(maxBytes, maxLines)
	if cap(r.text) > len(r.buf) {
		r.text = nil // a rare giant is not worth keeping
	}
	r.err = err
	return reply, err
}

// reply gathers lines in r.text, each followed by LF, until one is the last.
func (r *Reader) reply(maxBytes, maxLines int) (Reply, error) {
	r.text = r.text[:0]
	code, room := 0, maxBytes
	for n := 1; n <= maxLines; n++ {
		start := len(r.text)
		used, err := r.line(room)
		if err != nil {
			return Reply{}, err
		}
		room -= used
		line := r.text[start : len(r.text)-1]
		c, last, what := parseLine(line)
		if what == "" && n > 1 && c != code {
			// Which one holds is anybody's guess, and clients differ.
			what = "codes differ inside one reply"
		}
		if what != "" {
			return Reply{}, complain(what, line)
		}
		code = c
		if last {
			return Reply{Code: code, Lines: split(r.text, n)}, nil
		}
	}
	return Reply{}, complain("reply has too many lines", r.text)
}

// line appends the next line to r.text with LF in place of its line end, and
// returns how many bytes it took from the source. Field: LF alone ends a line.
func (r *Reader) line(room int) (used int, err error) {
	start := len(r.text)
	for {
		p := r.buf[r.r:r.w]
		i := bytes.IndexByte(p, '\n')
		if i >= 0 {
			p = p[:i+1]
		}
		if used += len(p); used > room {
			return used, complain("reply is too long", append(r.text[start:], p...))
		}
		r.text = append(r.text, p...)
		r.r += len(p)
		if i >= 0 {
			break
		}
		if err := r.fill(); err != nil {
			if errors.Is(err, io.EOF) && len(r.text) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return used, err
		}
	}
	if n := len(r.text); n-start >= 2 && r.text[n-2] == '\r' {
		r.text[n-2] = '\n'
		r.text = r.text[:n-1]
	}
	return used, nil
}

// fill reads once more from the source into the empty buffer.
func (r *Reader) fill() error {
	r.r, r.w = 0, 0
	if r.late != nil {
		return r.late
	}
	for range maxIdleReads {
		n, err := r.src.Read(r.buf[:])
		if n > 0 {
			r.w, r.late = n, err
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// parseLine returns a line's code and whether it is a reply's last; what is
// wrong with it is "" when it is well formed. RFC 5321 §4.2.1; the bare code
// without a space is from §4.2.
func parseLine(line []byte) (code int, last bool, what string) {
	if len(line) == 0 {
		return 0, false, "blank line instead of a reply"
	}
	if len(line) < 3 {
		return 0, false, "no reply code"
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, "no reply code"
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "unknown class of reply code"
	}
	if len(line) == 3 || line[3] == ' ' {
		return code, true, ""
	}
	if line[3] != '-' {
		return 0, false, "no reply code"
	}
	return code, false, ""
}

// split returns the n lines of text, each of which ends with LF, as parts of
// one string: it keeps in memory what the reply is long, and no buffer.
func split(text []byte, n int) []string {
	s := string(text)
	lines := make([]string, 0, n)
	for range n {
		var line string
		line, s, _ = strings.Cut(s, "\n")
		lines = append(lines, line)
	}
	return lines
}

func complain(what string, line []byte) *ProtocolError {
	return &ProtocolError{What: what, Line: string(line[:min(len(line), shownBytes)])}
}
