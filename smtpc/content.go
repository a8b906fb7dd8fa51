package smtpc

import (
	"io"
	"slices"

	"postrider/internal/smtp"
)

// blockSize is how much of a message is in memory at a time, before encoding.
const blockSize = 32 << 10

// content sends the message, and returns what is due then.
func (t *talk) content() smtp.Stage {
	if t.way == byChunks {
		return t.chunks()
	}
	if _, ok := t.msg.Whole(); ok {
		return t.whole()
	}
	size := -1
	if t.msg.Again() {
		size = int(min(2*t.msg.Size, smallFlight+1)) // as large as encoding can make it
	}
	t.listen(flight{replies: 1, size: size, halts: func(smtp.Reply) bool { return true }})
	var encoder smtp.Encoder
	r, src := t.msg.Reader(), t.block()
	out := slices.Grow(t.out[:0], len(src)+len(src)/16)
	for {
		n, err := fill(r, src)
		if err != nil {
			return t.abandon(smtp.Unreadable)
		}
		out = encoder.Append(out, src[:n])
		if n < len(src) {
			break
		}
		// Two bytes stay back, so that the dot never travels without the line
		// end before it. Field: PIX firewalls lose messages otherwise.
		ready := len(out) - len("\r\n")
		if t.early() || t.write(out[:ready]) != nil {
			return t.interrupted()
		}
		out = append(out[:0], out[ready:]...)
	}
	out, err := encoder.Close(out)
	t.out = out[:0]
	if err != nil {
		return t.abandon(smtp.PartialLine)
	}
	if t.early() || t.write(out) != nil {
		return t.interrupted()
	}
	return smtp.AtDot
}

// block returns memory to read the message into: more than all of a short one,
// so that its end is seen at once.
func (t *talk) block() []byte {
	if t.msg.Again() {
		return make([]byte, min(t.msg.Size+1, blockSize))
	}
	return make([]byte, blockSize)
}

// fill reads until p is full or r at its end; fewer bytes and no error are the
// end.
func fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) {
		k, err := r.Read(p[n:])
		n += k
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// abandon closes the connection in the middle of content: without its end no
// server may take it (RFC 5321 §4.1.1.4).
func (t *talk) abandon(why smtp.Fault) smtp.Stage {
	t.shut()
	return t.end(&smtp.Ending{Stage: smtp.AtBody, Fault: why})
}

// interrupted ends a transaction whose content cannot be written to its end:
// because a reply has come, or because the connection broke. A server that
// refuses and closes has said why, and that is worth waiting for, a little.
func (t *talk) interrupted() smtp.Stage {
	t.hurry = true
	for {
		r, end := t.hear(smtp.AtBody)
		switch {
		case t.way == byChunks && isUnknown(r):
			return t.end(t.unchunked(r))
		case refusal(r):
			t.shut()
			return t.end(&smtp.Ending{Stage: smtp.AtBody, Reply: r})
		case t.way == byChunks && r.Positive() && end == nil:
			continue // of a chunk before
		case r.Code == 0:
			return t.end(end)
		}
		return t.end(t.garbled(smtp.AtBody, r, "a reply before the end of content"))
	}
}
