package smtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"
)

// Examine reads the content of a message to its end and returns what must be
// known of it. It holds 32 KB at a time. Its error is the source's, wrapped.
func Examine(r io.Reader) (Facts, error) { return examine(r, glance) }

// glance is how much of a message Examine holds.
const glance = 32 << 10

// examine is Examine that holds so many bytes at a time.
func examine(r io.Reader, hold int64) (Facts, error) {
	var x examiner
	buf := make([]byte, hold)
	idle := 0
	for {
		n, err := r.Read(buf)
		x.add(buf[:n])
		if err == io.EOF {
			return x.facts, nil
		}
		if idle++; n > 0 {
			idle = 0
		}
		if err == nil && idle == maxIdleReads {
			err = io.ErrNoProgress
		}
		if err != nil {
			return Facts{}, fmt.Errorf("examine message: %w", err)
		}
	}
}

// examiner gathers Facts over chunks that may break anywhere.
type examiner struct {
	facts  Facts
	cr     bool // the last byte was a CR
	header headerScan
	utf8   utf8Scan // of the header
}

func (x *examiner) add(p []byte) {
	if len(p) == 0 {
		return
	}
	x.count(p)
	x.facts.Partial = p[len(p)-1] != '\n'
	x.cr = p[len(p)-1] == '\r'
	if !x.header.over {
		n := x.header.scan(p)
		if hasEightBit(p[:n]) {
			x.facts.EightBit, x.facts.EightBitHeader = true, true
		}
		if x.facts.EightBitHeader {
			x.facts.HeaderNotUTF8 = !x.utf8.add(p[:n])
		}
		p = p[n:]
	}
	if !x.facts.EightBit {
		x.facts.EightBit = hasEightBit(p)
	}
}

// count adds what p is long on the wire: every LF, CR and CR LF is a CRLF there.
func (x *examiner) count(p []byte) {
	ends := bytes.Count(p, []byte{'\n'})
	text := len(p) - ends
	if x.cr && p[0] == '\n' {
		ends-- // the CR was counted with the chunk before
	}
	if crs := bytes.Count(p, []byte{'\r'}); crs > 0 {
		text -= crs
		ends += crs - pairs(p, crs)
	}
	x.facts.Wire += int64(text) + 2*int64(ends)
}

// pairs counts CR LF, of which crs are at the most.
func pairs(p []byte, crs int) (n int) {
	if crs*2*near > len(p) { // too close to be looked for
		for i, c := range p[:len(p)-1] {
			if c == '\r' && p[i+1] == '\n' {
				n++
			}
		}
		return n
	}
	for {
		i := bytes.IndexByte(p, '\r')
		if i < 0 || i+1 == len(p) {
			return n
		}
		if p = p[i+1:]; p[0] == '\n' {
			n++
		}
	}
}

// headerScan looks for the first empty line, over chunks.
type headerScan struct {
	mid  bool // inside a line
	cr   bool // the last byte was a CR
	over bool // the empty line is behind
}

// scan returns how much of p belongs to the header, the empty line included.
func (h *headerScan) scan(p []byte) int {
	lf, cr := -1, -1 // the next ones from i on, where they are not before i
	crowded := 0     // lines with near ends
	for i := 0; i < len(p); {
		if crowded == few {
			i, crowded = i+h.bytewise(p[i:min(len(p), i+block)]), 0
			if h.over {
				return i
			}
			continue
		}
		if h.cr && p[i] == '\n' {
			h.cr = false
			i++
			continue
		}
		if lf < i {
			lf = indexFrom(p, i, '\n')
		}
		if cr < i {
			cr = indexFrom(p, i, '\r')
		}
		end := min(lf, cr)
		if crowded++; end-i >= near {
			crowded = 0
		}
		h.mid = h.mid || end > i
		h.cr = end < len(p) && cr == end
		if i = end; i < len(p) {
			h.over, h.mid = !h.mid, false
			i++
		}
		if h.over {
			return i
		}
	}
	return len(p)
}

// bytewise is scan for a short p. It stops behind the empty line.
func (h *headerScan) bytewise(p []byte) int {
	for i, c := range p {
		switch {
		case c == '\n' && h.cr:
			h.cr = false
		case c == '\n' || c == '\r':
			h.over, h.mid, h.cr = !h.mid, false, c == '\r'
			if h.over {
				return i + 1
			}
		default:
			h.mid, h.cr = true, false
		}
	}
	return len(p)
}

// indexFrom returns where c stands in p from i on, len(p) when nowhere.
func indexFrom(p []byte, i int, c byte) int {
	if j := bytes.IndexByte(p[i:], c); j >= 0 {
		return i + j
	}
	return len(p)
}

// utf8Scan finds out whether text is UTF-8, over chunks that may break anywhere.
type utf8Scan struct {
	part []byte // of a character, at the end of the chunk before
	bad  bool
}

// add reports whether all so far may be UTF-8.
func (s *utf8Scan) add(p []byte) bool {
	if len(s.part) > 0 {
		p = append(s.part, p...)
	}
	end := len(p)
	for i := end - 1; i >= max(0, end-utf8.UTFMax); i-- {
		if utf8.RuneStart(p[i]) {
			if !utf8.FullRune(p[i:]) {
				end = i
			}
			break
		}
	}
	s.bad = s.bad || !utf8.Valid(p[:end])
	s.part = bytes.Clone(p[end:])
	return !s.bad
}

// hasEightBit reports whether p has a byte over 0x7f, 32 at a time.
func hasEightBit(p []byte) bool {
	const high = 0x8080808080808080
	for len(p) >= 32 {
		x := binary.LittleEndian.Uint64(p) | binary.LittleEndian.Uint64(p[8:]) |
			binary.LittleEndian.Uint64(p[16:]) | binary.LittleEndian.Uint64(p[24:])
		if x&high != 0 {
			return true
		}
		p = p[32:]
	}
	var x byte
	for _, c := range p {
		x |= c
	}
	return x > 0x7f
}
