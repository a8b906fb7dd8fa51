package smtpc

import (
	"net"
	"syscall"
	"time"

	"postrider/internal/smtp"
)

// restless is how long a conversation may have been silent before its server is
// thought to be about to leave. Content then waits for the replies to RCPT: if
// the server turns out to have gone, nobody can have taken the message.
const restless = time.Second

// Reusable reports whether another transaction may follow on this
// conversation: it is in step, and as far as can be seen without waiting the
// server has neither said anything since nor left.
func (c *Conn) Reusable() bool { return c.InStep() && quiet(c.nc) }

// InStep is Reusable as far as this end knows. The kernel is not asked.
func (c *Conn) InStep() bool {
	return c.nc != nil && !c.over && c.owed == 0 && c.werr == nil && c.in.Buffered() == 0
}

// Transactions is how many have gone over this conversation.
func (c *Conn) Transactions() int { return c.sends }

// NoChunking forbids BDAT from now on, as Params.NoChunking does.
func (c *Conn) NoChunking() { c.p.NoChunking = true }

// settled notes what a transaction leaves behind: recipients that it named and
// whose message never came must be forgotten before the next (RFC 5321 §4.1.1.5).
func (t *talk) settled() {
	t.sends++
	now := time.Now()
	t.took, t.spoke = now.Sub(t.spoke), now
	if n := len(t.tx.Rcpts); n > 0 {
		t.addressee = t.tx.Rcpts[n-1]
	}
	// Refused content ends the server's transaction too; refused recipients,
	// or a refused DATA, leave it open.
	open := t.tx.Stage == smtp.AtRcpt || t.tx.Stage == smtp.AtData
	t.dirty = t.tx.Fault == smtp.NoFault && open && !t.dotted
}

// reset makes the server forget a transaction that was given up.
func (t *talk) reset() *smtp.Ending {
	if !t.dirty {
		return nil
	}
	r, end := t.ask(smtp.AtMail, "RSET")
	if end == nil && !r.Positive() {
		end = t.refused(smtp.AtMail, r)
	}
	return end
}

// quiet peeks at the socket below: no byte, no end.
func quiet(nc net.Conn) bool {
	sc, ok := below(nc).(syscall.Conn)
	if !ok {
		return true
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	still := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		still = err == syscall.EAGAIN
		return true
	})
	return still && err == nil
}
