package remote

import (
	"context"
	"net/netip"

	"postrider/internal/smtp"
	"postrider/smtpc"
)

// Next is a job that may begin in the flight that carries another's content. It
// goes by a plan of the same Key.
type Next struct {
	Job *Job
	// Go is called once, with nil if nothing has begun after all.
	Go func(*Ride)
}

// Ride is a transaction that has begun behind another's content. Who has it
// carries it on, as Job.Ride.
type Ride struct {
	begun *smtpc.Begun
	peer  netip.AddrPort
	key   string
}

// follow is how a conversation in the manner m with c's address finds what may
// follow; nil where nothing may: it would have to be what the next delivery had
// chosen by itself, a host of the best preference under the policy as decided.
func (t *trial) follow(m *manner, c *Candidate) func(transactions int) *Next {
	if t.job.Follow == nil || t.hop.route.QMTP || c.inClear || c.Pref != t.first || m.policy.Mode != c.Policy.Mode {
		return nil
	}
	return t.job.Follow
}

// transact runs a transaction on c by run, hands the conversation to what has
// begun behind it, and keeps or ends it otherwise.
func (h *Handover) transact(c *smtpc.Conn, run func(next func() (smtpc.Following, bool)) (*smtp.Transaction, *smtpc.Begun)) *smtp.Transaction {
	var next *Next
	release := func(r *Ride) {
		if n := next; n != nil {
			next = nil
			n.Go(r)
		}
	}
	defer release(nil) // also should what follows panic
	var ask func() (smtpc.Following, bool)
	if h.Follow != nil {
		ask = func() (smtpc.Following, bool) {
			if next = h.Follow(c.Transactions()); next == nil {
				return smtpc.Following{}, false
			}
			return smtpc.Following{Envelope: next.Job.envelope(), Message: next.Job.Message}, true
		}
	}
	tx, begun := run(ask)
	switch {
	case begun != nil:
		release(&Ride{begun: begun, peer: h.Peer, key: h.Key})
	case h.Keep != nil && c.InStep() && !weary(tx) && !leaving(tx):
		h.Keep(c)
	default:
		c.Quit()
	}
	return tx
}

// board carries on what has begun already. If the server lost interest in it,
// without doubt as to the message (see stale), or has not so much as heard it, it
// begins anew.
func (t *trial) board(ctx context.Context, cands []Candidate) next {
	r := t.job.Ride
	for i := range cands {
		c := &cands[i]
		if t.key(&c.Policy, r.peer) != r.key {
			continue
		}
		t.tentative = c.Policy.PreferTLS
		h := t.handover(&manner{policy: &c.Policy, key: r.key}, c, r.peer)
		tx := h.transact(r.begun.Conn(), func(next func() (smtpc.Following, bool)) (*smtp.Transaction, *smtpc.Begun) {
			return r.begun.Finish(ctx, next)
		})
		if stale(tx) || tx.Stage == smtp.AtMail && tx.Fault == smtp.TimedOut {
			return nextHost
		}
		return t.hear(tx, r.peer)
	}
	// Not who this job would be spoken to by itself. The server has taken nothing:
	// the content was never sent.
	r.begun.Conn().Close()
	return nextHost
}
