package smtpc

import (
	"slices"
	"strconv"
	"strings"

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

// echoes reports whether the acceptance r of content may be that of an address.
// With DATA the 354 stands between them; here a server that answers MAIL or RCPT
// twice would have taken a message that it has not yet looked at.
func (t *talk) echoes(r smtp.Reply) bool {
	text := r.Lines[len(r.Lines)-1]
	if len(text) > 4 && strings.HasPrefix(text[4:], "2.1.") { // RFC 3463 §3.2: of an address
		return true
	}
	same := func(other smtp.Reply) bool { return slices.Equal(r.Lines, other.Lines) }
	return same(t.before) || same(t.addressee) || slices.ContainsFunc(t.tx.Rcpts, same)
}

// confirm brings the conversation to its end, to see whether r was the last reply
// before that to QUIT, which is 221 (RFC 5321 §4.1.1.10). Else the last one is
// the verdict.
func (t *talk) confirm(r smtp.Reply) *smtp.Ending {
	const quit = "QUIT\r\n"
	t.listen(flight{replies: 2, size: len(quit)})
	t.write([]byte(quit)) // whatever has come: it is what we ask for
	verdict, end := t.hear(smtp.AtDot)
	if end != nil && end.Fault == smtp.TimedOut {
		return end
	}
	if end != nil || verdict.Code == 221 || verdict.Code == 421 {
		t.shut()
		return &smtp.Ending{Stage: smtp.AtQuit, Reply: r}
	}
	t.hurry = true
	bye, _ := t.hear(smtp.AtDot)
	t.shut()
	switch {
	case bye.Code != 221:
		return &smtp.Ending{Stage: smtp.AtDot, Fault: smtp.Garbled, Reply: verdict, Detail: "more replies than commands"}
	case isUnknown(verdict):
		return t.unchunked(verdict)
	case verdict.Positive():
		return &smtp.Ending{Stage: smtp.AtQuit, Reply: verdict}
	}
	return t.refused(smtp.AtDot, verdict)
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
