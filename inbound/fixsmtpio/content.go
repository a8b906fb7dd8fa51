package fixsmtpio

import "bytes"

// content finds the end of a message, CRLF.CRLF, in bytes that come in any
// pieces. Content begins as if after a line end: ".CRLF" at once is an empty
// message.
//
//	state        seen      CR  LF  .   other
//	inLine       …         1   0   0   0
//	1            CR        1   2   0   0
//	2            CRLF      1   0   3   0
//	3            CRLF.     4   0   0   0
//	4            CRLF.CR   1   end 0   0
type content struct {
	state uint8
	tail  [4]byte // the last bytes that came
}

func newContent() content {
	return content{state: 2, tail: [4]byte{2: '\r', 3: '\n'}}
}

// scan takes bytes up to the end of the message, if it is there.
func (c *content) scan(p []byte) (used int, end bool) {
	for used < len(p) && !end {
		b := p[used]
		used++
		switch {
		case c.state == 4 && b == '\n':
			end = true
		case c.state == 3 && b == '\r':
			c.state = 4
		case b == '\r':
			c.state = 1
		case c.state == 1 && b == '\n', c.state == 2 && b == '.':
			c.state++
		default:
			c.state = 0
			if i := bytes.IndexByte(p[used:], '\r'); i >= 0 {
				used += i
			} else {
				used = len(p)
			}
		}
	}
	last := append(c.tail[:], p[max(0, used-4):used]...)
	copy(c.tail[:], last[len(last)-4:])
	return used, end
}

// lone reports whether the last line that came is a lone dot, with line ends of
// which qmail's ofmipd, but not RFC 5321 §4.1.1.4, thinks that they end a message.
func (c *content) lone() bool {
	return bytes.HasSuffix(c.tail[:], []byte("\n.\n")) || bytes.HasSuffix(c.tail[:], []byte("\n.\r\n"))
}
