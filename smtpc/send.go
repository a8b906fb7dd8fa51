package smtpc

import (
	"context"
	"slices"
	"strconv"
	"time"

	"postrider/internal/smtp"
)

// way is how content travels.
type way uint8

const (
	byData   way = iota // DATA, 354, content and a dot
	byFlight            // one BDAT LAST together with MAIL and RCPT
	byChunks            // BDAT after the recipients are known
)

// maxFlight is the longest content that goes along before it is known whether
// anybody will take it: what is lost if not is less than a round trip.
const maxFlight = 64 << 10

// talk is one transaction on its way, with two cursors over the stages of
// smtp.Stage: what is said next, and whose reply is due. With PIPELINING (RFC
// 2920) the first one runs ahead to the end of the group; replies belong to
// commands by their count alone. The invariant: next is never before due, and
// something is said only when nothing is outstanding.
//
//	due      said with PIPELINING          without
//	AtMail   MAIL RCPT … RCPT DATA         MAIL
//	AtRcpt   —                             the next RCPT
//	AtData   —                             DATA
//	AtBody   content                       content
//	AtDot    —                             —
//	AtQuit   the transaction is over, tx says how
type talk struct {
	*Conn
	tx  smtp.Transaction
	env smtp.Envelope
	msg *smtp.Message

	way    way
	wire   int64  // how long the content is byFlight
	params string // of MAIL, each with a blank before it
	must   string // those of params without which the message cannot go
	flown  bool   // content has left us byFlight, its end included
	dotted bool   // a lone dot has ended what nobody was to get
	open   bool   // the server may believe in a transaction that we have left

	follow func() (Following, bool) // may be nil
	begun  *talk                    // what has begun behind the content, see follow.go

	next  smtp.Stage
	said  int // RCPTs said
	due   smtp.Stage
	taken int // recipients accepted

	before smtp.Reply // to MAIL, or to the chunk before
}

// Send carries one transaction from MAIL to the verdict. After an Ending with
// NoFault the conversation is in step, but for one at AtBody.
func (c *Conn) Send(ctx context.Context, env smtp.Envelope, msg *smtp.Message) smtp.Transaction {
	tx, _ := c.SendThen(ctx, env, msg, nil)
	return *tx
}

// start begins a transaction at its beginning.
func (t *talk) start() {
	end := t.prepare()
	if end == nil {
		end = t.reset()
	}
	if end != nil {
		t.tx.Ending = *end
		return
	}
	t.rewind()
	t.converse()
}

// rewind sets the cursors to the beginning.
func (t *talk) rewind() {
	t.next, t.due, t.said, t.taken, t.tx.Rcpts = smtp.AtMail, smtp.AtMail, 0, 0, nil
	t.flown = false // whose sender was refused, was not taken
}

// converse brings a transaction to its end, and leaves nothing behind that the
// next would have to clear up, unless that one has begun.
func (t *talk) converse() {
	defer t.settled()
	t.run()
	if t.begun != nil {
		return
	}
	inStep := t.settle()
	if refused := t.tx.Reply; t.fussy() {
		t.params = t.must
		if inStep && t.cleared() {
			t.rewind()
			t.run()
			t.settle()
			if t.tx.Stage != smtp.AtMail || t.tx.Fault != smtp.Dropped {
				return
			}
		}
		t.shut()
		t.tx.Ending = smtp.Ending{Stage: smtp.AtMail, Fault: smtp.NoParams, Reply: refused}
	}
}

// run lets the cursors run, to the end of the transaction.
func (t *talk) run() {
	for t.due != smtp.AtQuit {
		switch {
		case t.due == smtp.AtBody:
			t.due = t.content()
		case t.owed == 0:
			t.due = t.speak()
		default:
			r, end := t.hear(t.due)
			if end != nil {
				t.due = t.lost(r, end)
				break
			}
			t.due = t.heard(t.due, r)
		}
	}
}

// speak says what may be said now, in one write, and returns what is due.
func (t *talk) speak() smtp.Stage {
	replies := 0
	t.out = t.out[:0]
	for replies == 0 || t.ext.Pipelining && t.next < smtp.AtBody {
		t.out = t.append(t.out)
		replies++
	}
	if t.way != byFlight {
		return t.utter(t.out, replies)
	}
	due := t.due
	err := t.msg.Encoded(t.out, smtp.Encoder{NoDots: true}, func(out []byte) {
		due = t.utter(out, replies)
		t.flown = due != smtp.AtQuit && t.werr == nil
	})
	if err != nil {
		return t.end(&smtp.Ending{Stage: smtp.AtMail, Fault: smtp.Unreadable})
	}
	return due
}

// utter says out, which asks for so many replies, and returns what is due.
func (t *talk) utter(out []byte, replies int) smtp.Stage {
	t.listen(flight{replies: replies, size: len(out)})
	if end := t.mute(t.due); end != nil {
		return t.end(end)
	}
	t.write(out)
	return t.due
}

// append appends the next command and moves the send cursor.
func (t *talk) append(out []byte) []byte {
	switch t.next {
	case smtp.AtMail: // RFC 5321 §4.1.1.2
		out = smtp.AppendPath(append(out, "MAIL FROM:"...), t.env.Sender)
		out = append(out, t.params...)
		t.next = smtp.AtRcpt
	case smtp.AtRcpt: // RFC 5321 §4.1.1.3
		out = smtp.AppendPath(append(out, "RCPT TO:"...), t.env.Rcpts[t.said])
		if t.said++; t.said == len(t.env.Rcpts) {
			t.next = smtp.AtData
			if t.way == byChunks {
				t.next = smtp.AtBody
			}
		}
	case smtp.AtData: // RFC 5321 §4.1.1.4, RFC 3030 §2
		t.next = smtp.AtBody
		if t.way == byFlight {
			return appendBDAT(out, int(t.wire), true) // speak puts the content behind it
		}
		out = append(out, "DATA"...)
	default:
		panic("smtpc: nothing to say at " + t.next.String())
	}
	return append(out, '\r', '\n')
}

// heard files the reply r to what was said at the stage at, and returns the
// stage whose reply is due now. Every recipient's reply is filed, whatever it
// is; only 2yz is an acceptance.
func (t *talk) heard(at smtp.Stage, r smtp.Reply) smtp.Stage {
	switch at {
	case smtp.AtMail:
		if !r.Positive() {
			return t.end(t.refused(at, r))
		}
		t.before = r
		return smtp.AtRcpt
	case smtp.AtRcpt:
		t.tx.Rcpts = append(t.tx.Rcpts, r)
		if r.Positive() {
			t.taken++
		}
		if len(t.tx.Rcpts) < len(t.env.Rcpts) {
			return smtp.AtRcpt
		}
		return t.addressed()
	case smtp.AtData:
		if r.Intermediate() {
			return smtp.AtBody
		}
		return t.end(t.refused(at, r))
	case smtp.AtDot:
		return t.verdict(r)
	}
	panic("smtpc: no reply expected at " + at.String())
}

// addressed returns what is due when all recipients have their replies.
func (t *talk) addressed() smtp.Stage {
	switch {
	case t.taken == 0:
		return t.end(&smtp.Ending{Stage: smtp.AtRcpt})
	case t.way == byFlight:
		if t.owed == 0 {
			panic("smtpc: content did not go along")
		}
		return smtp.AtDot
	case t.way == byChunks:
		return smtp.AtBody
	}
	return smtp.AtData
}

// verdict judges a reply to the end of content, or to one of several chunks.
// Only here is a message accepted.
func (t *talk) verdict(r smtp.Reply) smtp.Stage {
	switch {
	case t.way != byData && isUnknown(r):
		return t.end(t.unchunked(r))
	case !r.Positive():
		return t.end(t.refused(smtp.AtDot, r))
	case t.owed > 0 && t.begun == nil: // RFC 3030 §2: each chunk has its reply
		t.before = r
		return smtp.AtDot
	case t.way != byData && t.echoes(r):
		return t.end(t.confirm(r))
	}
	return t.end(&smtp.Ending{Stage: smtp.AtQuit, Reply: r})
}

// lost files the end of the conversation. Once the end of content has left us,
// a server that gave no verdict may have taken the message (RFC 1047), how far
// its replies have come.
func (t *talk) lost(r smtp.Reply, end *smtp.Ending) smtp.Stage {
	if t.due == smtp.AtDot && t.way != byData && isUnknown(r) {
		return t.end(t.unchunked(r))
	}
	if t.due == smtp.AtDot && t.way == byData && r.Positive() && end.Fault == smtp.Garbled && t.farewell() {
		return t.end(&smtp.Ending{Stage: smtp.AtQuit, Reply: r})
	}
	if t.due < smtp.AtBody && slices.ContainsFunc(t.tx.Rcpts, smtp.Reply.Intermediate) {
		// Field: servers that offer PIPELINING lose commands. This was the answer
		// to DATA, and those before it are not all of whom they seem to be.
		end.Fault, end.Detail = smtp.Garbled, "an answer to DATA before all recipients have theirs"
	}
	return t.end(end)
}

// farewell reports whether what came in one piece with the acceptance of a
// message is no answer about it: the server is leaving, or babbles. The
// message is taken either way (RFC 5321 §4.2.5); only a second verdict, when
// one was due, leaves it open which of them is meant.
func (t *talk) farewell() bool {
	r, err := t.in.ReadReply() // of what is buffered: the connection is closed
	return err != nil || r.Code == 421
}

func (t *talk) end(end *smtp.Ending) smtp.Stage {
	t.tx.Ending = *end
	if t.flown && end.Fault != smtp.NoFault && end.Fault != smtp.NoChunking {
		t.tx.Stage = smtp.AtDot
	}
	return smtp.AtQuit
}

// settle hears what is still outstanding after a transaction that was refused,
// within grace, and reports whether the conversation is in step. If the server
// waits for content that nobody is to get, a lone dot ends it, and not a byte
// of the message is sent (RFC 2920 §3.1).
func (t *talk) settle() bool {
	t.hurry = true
	for t.owed > 0 && !t.over {
		r, end := t.hear(t.tx.Stage)
		if end != nil {
			return false
		}
		t.open = t.open || r.Positive() || r.Intermediate()
		if t.owed == 0 && t.way == byData && r.Intermediate() {
			if _, end := t.ask(smtp.AtDot, "."); end != nil {
				return false
			}
			t.dotted = true
		}
	}
	t.hurry = false
	return !t.over
}

// fussy reports whether MAIL is worth another try with fewer parameters: the
// server may have refused not the sender but those (RFC 5321 §4.1.1.11).
func (t *talk) fussy() bool {
	refused := t.tx.Stage == smtp.AtMail && t.tx.Fault == smtp.NoFault
	syntax := t.tx.Reply.Code == 501 || t.tx.Reply.Code == 555
	return refused && syntax && t.params != t.must
}

// cleared says RSET if the server, which has refused MAIL, took to the rest of
// the group all the same, and reports whether MAIL may be said again.
func (t *talk) cleared() bool {
	if !t.open {
		return true
	}
	r, end := t.ask(smtp.AtMail, "RSET")
	return end == nil && r.Positive()
}

// prepare decides all that can be decided before MAIL.
func (t *talk) prepare() *smtp.Ending {
	if len(t.env.Rcpts) == 0 {
		return &smtp.Ending{Stage: smtp.AtRcpt} // nobody would take it
	}
	facts, known, err := t.msg.Facts()
	if err != nil {
		return &smtp.Ending{Stage: smtp.AtMail, Fault: smtp.Unreadable, Detail: err.Error()}
	}
	if facts.Partial {
		return &smtp.Ending{Stage: smtp.AtMail, Fault: smtp.PartialLine}
	}
	// RFC 1870 §6.1: no use in trying.
	if known && t.ext.Size > 0 && uint64(facts.Wire) > t.ext.Size {
		return &smtp.Ending{Stage: smtp.AtMail, Fault: smtp.TooLarge}
	}
	if known && t.ext.HasSize {
		t.params = " SIZE=" + strconv.FormatInt(facts.Wire, 10)
	}
	// Of a stream nobody knows, and the label does not harm (RFC 6152 §3).
	if t.ext.EightBitMIME && (facts.EightBit || !known) {
		t.params += " BODY=8BITMIME"
	}
	if end := t.internationalize(facts); end != nil {
		return end
	}
	if t.p.Plain {
		t.params = t.must
	}
	if known && t.ext.Chunking && t.ext.Pipelining && !t.p.NoChunking {
		t.chunked(facts.Wire)
	}
	return nil
}

// internationalize decides about SMTPUTF8 (RFC 6531 §3.4): needed for an
// address, else a favour to the header.
func (t *talk) internationalize(facts smtp.Facts) *smtp.Ending {
	needed := t.env.NeedsUTF8()
	if needed && !t.ext.SMTPUTF8 {
		if t.env.ASCII == nil || t.env.ASCII.NeedsUTF8() {
			return &smtp.Ending{Stage: smtp.AtMail, Fault: smtp.NeedsUTF8}
		}
		t.env, needed = *t.env.ASCII, false
	}
	// Who says SMTPUTF8 of a header in another charset lies, and the next server
	// on the way may have to bounce the message for it.
	if t.ext.SMTPUTF8 && (needed || facts.EightBitHeader && !facts.HeaderNotUTF8) {
		t.params += " SMTPUTF8"
	}
	if needed {
		t.must = " SMTPUTF8"
	}
	return nil
}

// chunked decides how content of so many bytes goes by BDAT.
func (t *talk) chunked(wire int64) {
	t.way, t.wire = byFlight, wire
	if wire > maxFlight || t.sends > 0 && time.Since(t.spoke) > restless {
		t.way = byChunks
	}
}
