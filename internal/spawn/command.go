package spawn

import (
	"bytes"
	"io"
	"strings"
)

// Command is one order of qmail-send: deliver message MessID from Sender to
// Recipient, and report as number Slot. On the wire it is the byte Slot and
// three strings, each followed by NUL.
type Command struct {
	Slot              byte
	MessID            string // the message's file below queue/mess
	Sender, Recipient string
	// TooLong says that the strings were longer than maxCommand and are lost.
	TooLong bool
}

// maxCommand bounds the strings of a command, in bytes. Stock has no bound but
// memory; what exceeds ours is answered as stock answers the lack of memory.
const maxCommand = 1 << 20

// AppendTo appends the command as it travels.
func (c *Command) AppendTo(dst []byte) []byte {
	dst = append(dst, c.Slot)
	for _, s := range [...]string{c.MessID, c.Sender, c.Recipient} {
		dst = append(append(dst, s...), 0)
	}
	return dst
}

// parser is stock's machine of four stages:
//
//	stage      any byte   NUL
//	0 slot     1          1       a slot may be number 0
//	1 messid   1          2
//	2 sender   2          3
//	3 recip    3          0       a command is complete
//
// Nothing but the end of the input leaves it: every sequence of bytes is a
// sequence of commands and the beginning of one more.
type parser struct {
	stage  int
	buf    []byte // the strings so far
	ends   [4]int // where the string of each stage ends in buf
	slot   byte
	excess bool
}

// take takes what has come and gives do the commands that it completes.
func (p *parser) take(in []byte, do func(Command)) {
	for len(in) > 0 {
		if p.stage == 0 {
			*p = parser{stage: 1, buf: p.buf[:0], slot: in[0]}
			in = in[1:]
			continue
		}
		text, rest, whole := bytes.Cut(in, []byte{0})
		fits := min(len(text), maxCommand-len(p.buf))
		p.excess = p.excess || fits < len(text)
		p.buf = append(p.buf, text[:fits]...)
		in = rest
		if !whole {
			return
		}
		p.ends[p.stage] = len(p.buf)
		if p.stage = (p.stage + 1) % len(p.ends); p.stage == 0 {
			do(p.command())
		}
	}
}

func (p *parser) command() Command {
	if p.excess {
		p.buf = nil
		return Command{Slot: p.slot, TooLong: true}
	}
	s := string(p.buf)
	return Command{
		Slot:   p.slot,
		MessID: s[:p.ends[1]], Sender: s[p.ends[1]:p.ends[2]], Recipient: s[p.ends[2]:],
	}
}

// commands gives do every whole command of in. Compat(qmail): an error ends the
// input as its end does, and half a command is nothing.
func commands(in io.Reader, do func(Command)) {
	var p parser
	buf := make([]byte, 4096)
	for {
		n, err := in.Read(buf)
		p.take(buf[:n], do)
		if err != nil {
			return
		}
	}
}

// The faults below are qmail-send's own, and are answered in stock's words and
// stock's order; "" is none.

// slotFault is what is wrong with a command before it is looked into.
func (c *Command) slotFault(limit int, inUse bool) string {
	switch {
	case c.TooLong:
		return "Zqmail-spawn out of memory. (#4.3.0)\n"
	case int(c.Slot) >= limit:
		return "ZInternal error: delnum too big. (#4.3.5)\n"
	case inUse:
		return "ZInternal error: delnum in use. (#4.3.5)\n"
	}
	return ""
}

// fault is what is wrong with the strings of a command. With none, host is what
// follows the last @ of the recipient, and may be empty.
func (c *Command) fault() (host, fault string) {
	if strings.HasPrefix(c.MessID, "/") || !numeric(c.MessID) {
		return "", "DInternal error: messid has nonnumerics. (#5.3.5)\n"
	}
	if len(c.MessID) >= 100 { // stock counts the NUL
		return "", "DInternal error: messid too long. (#5.3.5)\n"
	}
	if c.MessID == "" {
		return "", "DInternal error: messid too short. (#5.3.5)\n"
	}
	at := strings.LastIndexByte(c.Recipient, '@')
	if at < 0 {
		return "", "DSorry, address must include host name. (#5.1.3)\n"
	}
	return c.Recipient[at+1:], ""
}

// numeric reports whether s is digits and slashes.
func numeric(s string) bool {
	for i := range len(s) {
		if s[i] != '/' && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}
