package smtpc

import (
	"context"
	"time"

	"postrider/internal/smtp"
)

// The flight that ends one transaction may begin the next (RFC 2920 §3.1: content
// may come first in a group, and RSET, MAIL and RCPT anywhere):
//
//	we      content of A, MAIL RCPT DATA of B
//	server  250 (A)  250 250 354 (B)
//	we      content of B, MAIL RCPT DATA of C
//
// so that each message costs one round trip. The replies belong to what was said
// by their count: A's verdict is the first, whatever it is. Nothing of B's content
// is sent before all replies have come; should the conversation end before that,
// nobody has taken B, and it may begin anew elsewhere.
//
// With CHUNKING a message costs one round trip by itself, and nothing says that
// MAIL may follow content in a group there; so nothing follows.

// quick is how soon a server must have taken the last message for another to be
// put behind the next one's verdict.
const quick = 2 * time.Second

// patienceBehind is how long the first reply to a group behind content may take,
// once the verdict on the content is there.
// Field: a server may throw away what came behind the dot, and wait.
const patienceBehind = 20 * time.Second

// smallGroup is room for the next transaction's commands, unless it has very many
// recipients, behind content in one small flight: larger flights are left alone,
// since writing them may have to be interrupted by a reply.
const smallGroup = 2 << 10

// Following is a transaction that may begin before the one at hand has ended.
type Following struct {
	Envelope smtp.Envelope
	Message  *smtp.Message
}

// Begun is a transaction that has begun in the last flight of another. It owns
// the conversation.
type Begun struct{ t *talk }

// SendThen is Send, which asks next for a transaction to begin with the flight
// that carries the content, if one can: at most once. It returns that
// transaction, or nil if none has begun. A Begun must be finished, also after
// whatever ended the first transaction.
func (c *Conn) SendThen(ctx context.Context, env smtp.Envelope, msg *smtp.Message, next func() (Following, bool)) (*smtp.Transaction, *Begun) {
	t := &talk{Conn: c, env: env, msg: msg, follow: next}
	t.tx.TLS = c.tls
	return t.carry(ctx, t.start)
}

// Finish carries the transaction on to its verdict, as SendThen does. If the
// conversation ended with the one before, the Ending is Dropped at AtMail; and
// TimedOut there after 20 seconds of silence.
func (b *Begun) Finish(ctx context.Context, next func() (Following, bool)) (*smtp.Transaction, *Begun) {
	b.t.follow, b.t.doubt = next, true
	return b.t.carry(ctx, b.t.converse)
}

// carry runs a transaction from its beginning to its end.
func (t *talk) carry(ctx context.Context, run func()) (*smtp.Transaction, *Begun) {
	if t.over {
		t.end(gone(smtp.AtMail))
		return &t.tx, nil
	}
	defer t.msg.Forget()
	defer t.watch(ctx)()
	run()
	if t.begun == nil {
		return &t.tx, nil
	}
	return &t.tx, &Begun{t.begun}
}

// begin begins the transaction that follows, if there is one, behind content that
// is so many bytes long, and gives what there is to be said for it.
func (t *talk) begin(content int) (group []byte, replies int) {
	if t.follow == nil || t.way != byData || !t.ext.Pipelining || content > smallFlight-smallGroup || t.sends == 0 || t.took > quick {
		return nil, 0
	}
	f, ok := t.follow()
	if !ok {
		return nil, 0
	}
	b := &talk{Conn: t.Conn, env: f.Envelope, msg: f.Message}
	b.tx.TLS = t.tls
	if b.prepare() != nil || b.way != byData {
		return nil, 0
	}
	b.rewind()
	for b.next < smtp.AtBody {
		group = b.append(group)
		replies++
	}
	if content+len(group) > smallFlight {
		return nil, 0
	}
	t.begun = b
	return group, replies
}

// whole sends content that is in memory, and what follows it, in one flight.
func (t *talk) whole() smtp.Stage {
	due := smtp.AtDot
	err := t.msg.Encoded(nil, smtp.Encoder{}, func(out []byte) {
		content := len(out)
		group, replies := t.begin(content)
		out = append(out, group...)
		f := flight{replies: 1 + replies, size: len(out)}
		if t.begun == nil {
			f.halts = func(smtp.Reply) bool { return true }
		}
		t.listen(f)
		// Should only what follows be lost, the server has all that it needs to
		// take the message.
		if t.early() || t.write(out) != nil && t.wrote < content {
			due = t.interrupted()
		}
	})
	if err != nil {
		return t.abandon(smtp.PartialLine)
	}
	t.spoke = time.Now()
	return due
}

// Conn is the conversation, for when the transaction has ended.
func (b *Begun) Conn() *Conn { return b.t.Conn }
