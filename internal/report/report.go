package report

import "postrider/internal/smtp"

const (
	// maxRemote is how much of a server's text a sentence may carry, in bytes.
	maxRemote = 5000
	// maxReport is what qmail-send reads of a report; the rest would be cut.
	maxReport = 10000
)

// Letter is the message's own letter: 'K', 'Z' or 'D' (qmail-remote(8)).
func (o *Outcome) Letter() byte {
	l := o.Cause.say().letter
	if l != byReply {
		return l
	}
	if o.Reply.Permanent() && !o.InDoubt {
		return 'D'
	}
	return 'Z'
}

// RcptLetter is the letter of the i-th recipient: 'r', 'h' or 's'. Only a whole
// 5xx reply refuses for good, and a 552 behind accepted recipients means "too
// many recipients" (RFC 5321 §4.5.3.1.10), which passes. Who does not speak SMTP
// may have lost count, and mean another recipient.
func (o *Outcome) RcptLetter(i int) byte {
	r := o.Rcpts[i]
	switch {
	case r.Positive():
		return 'r'
	case !r.Permanent(), o.Cause == NotSMTP:
		return 's'
	case r.Code == 552 && anyAccepted(o.Rcpts[:i]):
		return 's'
	}
	return 'h'
}

func anyAccepted(rs []smtp.Reply) bool {
	for _, r := range rs {
		if r.Positive() {
			return true
		}
	}
	return false
}

// AppendTo appends the report as qmail-rspawn wants it: one record per
// answered recipient, in argument order, then the message's record; each ends
// with NUL. The whole stays under 10000 bytes however much the server said;
// recipients' texts are shortened first, their letters never.
func (o *Outcome) AppendTo(dst []byte) []byte {
	last := o.appendMessage(nil, maxRemote)
	if over := len(last) + 2*len(o.Rcpts) - maxReport; over >= 0 { // thousands of recipients
		text := min(len(o.Reply.String()), maxRemote)
		last = o.appendMessage(nil, max(text-over-8, 0))
	}
	room := maxReport - len(dst) - len(last)
	text := maxRemote
	if need := o.rcptBytes(text); need >= room {
		text = o.fairShare(room)
	}
	for i := range o.Rcpts {
		dst = o.appendRcpt(dst, i, text)
	}
	return append(dst, last...)
}

// rcptBytes is how long the recipients' records are with text bytes of reply each.
func (o *Outcome) rcptBytes(text int) int {
	n := 0
	for i := range o.Rcpts {
		n += len(o.appendRcpt(nil, i, text))
	}
	return n
}

// fairShare finds how many bytes of reply each recipient's record may carry
// for all to fit into room; -1 is letters alone.
func (o *Outcome) fairShare(room int) int {
	for text := room / (len(o.Rcpts) + 1); text > 0; text /= 2 {
		if o.rcptBytes(text) < room {
			return text
		}
	}
	if o.rcptBytes(0) < room {
		return 0
	}
	return -1
}

func (o *Outcome) appendRcpt(dst []byte, i, text int) []byte {
	l := o.RcptLetter(i)
	dst = append(dst, l)
	if l == 'r' || text < 0 {
		return append(dst, 0)
	}
	dst = appendClean(dst, o.Host, len(o.Host))
	dst = append(dst, " does not like recipient.\n"...)
	dst = appendReply(dst, o.Rcpts[i], text)
	return append(dst, 0)
}

func (o *Outcome) appendMessage(dst []byte, text int) []byte {
	s := o.Cause.say()
	dst = append(dst, o.Letter())
	for i := 0; i < len(s.text); i++ {
		if s.text[i] == '%' && i+1 < len(s.text) && s.text[i+1] == 'h' {
			dst = appendClean(dst, o.Host, 255)
			i++
			continue
		}
		dst = append(dst, s.text[i])
	}
	dst = append(dst, '.')
	if o.InDoubt {
		dst = append(dst, " Possible duplicate!"...)
	}
	if s.code != "" {
		dst = append(dst, " (#"...)
		dst = append(dst, s.code...)
		dst = append(dst, ')')
	}
	dst = append(dst, '\n')
	if o.Detail != "" {
		dst = appendClean(dst, o.Detail, 500)
		dst = append(dst, '\n')
	}
	if o.Cause != GaveUp { // the recipients' records have said it
		dst = appendReply(dst, o.Reply, text)
	}
	if o.Cause == Accepted && o.TLS.Version != "" {
		dst = append(dst, "TLS: "...)
		dst = appendClean(dst, o.TLS.Version+" "+o.TLS.Cipher+" verified="+o.TLS.Verified, 200)
		dst = append(dst, '\n')
	}
	return append(dst, 0)
}

func appendReply(dst []byte, r smtp.Reply, limit int) []byte {
	if len(r.Lines) == 0 || limit <= 0 {
		return dst
	}
	dst = append(dst, "Remote host said: "...)
	for i, line := range r.Lines {
		if i > 0 && limit > 0 {
			dst = append(dst, '\n')
			limit--
		}
		n := min(len(line), limit)
		dst = appendClean(dst, line, n)
		limit -= n
	}
	if dst[len(dst)-1] == '\n' { // cut just behind a line end
		return dst
	}
	return append(dst, '\n')
}

// appendClean appends at most limit bytes of s, which a stranger wrote: all but
// printable ASCII becomes '?', so that nothing can end a record or begin one.
func appendClean(dst []byte, s string, limit int) []byte {
	for i := 0; i < min(len(s), limit); i++ {
		c := s[i]
		if c < 0x20 || c > 0x7e {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}
