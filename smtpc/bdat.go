package smtpc

import (
	"strconv"

	"postrider/internal/smtp"
)

// appendBDAT appends the command that announces n bytes (RFC 3030 §2).
func appendBDAT(out []byte, n int, last bool) []byte {
	out = strconv.AppendInt(append(out, "BDAT "...), int64(n), 10)
	if last {
		out = append(out, " LAST"...)
	}
	return append(out, '\r', '\n')
}

// longestBDAT is room for such a command.
const longestBDAT = len("BDAT 9223372036854775807 LAST\r\n")

// isUnknown reports whether r may mean that the server offered BDAT and does
// not understand it. If it was meant otherwise, DATA will tell.
func isUnknown(r smtp.Reply) bool {
	return r.Code == 500 || r.Code == 502 || r.Code == 503 || r.Code == 504
}

// unchunked ends a transaction whose server has broken on BDAT. It may have
// taken content for commands, so nothing more is said to it.
func (t *talk) unchunked(r smtp.Reply) *smtp.Ending {
	t.shut()
	return &smtp.Ending{Stage: smtp.AtData, Fault: smtp.NoChunking, Reply: r}
}

// chunks sends content in chunks without waiting for their replies, and
// returns what is due then. A chunk is what one block has become: its length
// is known when it is encoded, and in front of it is room for its command.
func (t *talk) chunks() smtp.Stage {
	count := max(1, int((t.msg.Size+blockSize-1)/blockSize)) // an empty message is one empty chunk
	t.listen(flight{replies: count, size: -1, halts: func(r smtp.Reply) bool { return !r.Positive() }})
	encoder := smtp.Encoder{NoDots: true}
	r, src := t.msg.Reader(), make([]byte, blockSize)
	buf := make([]byte, longestBDAT, longestBDAT+blockSize+blockSize/16)
	for i := range count {
		last := i == count-1
		n, err := fill(r, src)
		if err != nil || !last && n < len(src) {
			return t.abandon(smtp.Unreadable)
		}
		buf = encoder.Append(buf[:longestBDAT], src[:n])
		var room [longestBDAT]byte
		command := appendBDAT(room[:0], len(buf)-longestBDAT, last)
		chunk := buf[longestBDAT-len(command):]
		copy(chunk, command)
		if t.early() && !t.halted.Load() && len(t.ears) > i {
			return t.end(t.garbled(smtp.AtBody, smtp.Reply{}, "more replies than chunks"))
		}
		if t.write(chunk) != nil {
			return t.interrupted()
		}
	}
	return smtp.AtDot
}
