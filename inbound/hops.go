package inbound

import "postrider/internal/ascii"

// Hops counts the servers that a message has passed, as far as its header tells:
// fields whose name begins with Received or Delivered. Compat(qmail): so does
// Received-SPF. The zero value is ready, at the start of a message.
type Hops struct {
	N int

	line [9]byte // the beginning of the line, in small letters
	at   int     // how much of the line was seen; not counted beyond len(line)
	body bool
}

// Count looks at the next part of the message, whose lines end in LF.
func (h *Hops) Count(part []byte) {
	for _, c := range part {
		if h.body {
			return
		}
		switch {
		case c == '\n':
			h.body = h.at == 0
			h.at = 0
		case h.at < len(h.line):
			h.line[h.at] = ascii.Lower(c)
			h.at++
			if name := string(h.line[:h.at]); name == "received" || name == "delivered" {
				h.N++
			}
		}
	}
}
