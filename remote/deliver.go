package remote

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/routes"
	"postrider/tlspolicy"
)

// Plan is where a job goes, before anybody has been spoken to.
type Plan struct {
	hop   hop
	from  routes.Source // its HeloHost filled in
	cands []Candidate
}

// Deliver carries out one delivery and says what became of it. It returns
// within a second after ctx ends. It never fails: a panic below it is an
// Outcome too, and defers the mail.
func (e *Engine) Deliver(ctx context.Context, job Job) report.Outcome {
	plan, o := e.Plan(ctx, job)
	if plan == nil {
		return o
	}
	return *e.Carry(ctx, plan, &job)
}

// Plan finds out where a job goes. Without a plan, the outcome says why.
func (e *Engine) Plan(ctx context.Context, job Job) (p *Plan, o report.Outcome) {
	defer func() {
		if recover() != nil {
			p, o = nil, report.Outcome{Cause: report.Crashed}
		}
	}()
	h, err := e.hop(job)
	if err != nil {
		return nil, report.Outcome{Cause: report.UnreadableControl} // smtproutes, and stock says no more
	}
	cands, cause := e.candidatesInTime(ctx, h)
	if cause != report.Accepted {
		return nil, report.Outcome{Cause: cause, Host: h.shown}
	}
	from, _ := e.DomainIPs.Lookup(h.sender)
	from.HeloHost = cmp.Or(from.HeloHost, e.Control.HeloHost)
	return &Plan{hop: h, from: from, cands: passes(cands)}, o
}

// Carry tries a plan's candidates until somebody decides.
//
// From here on down what is large goes by reference: thousands of deliveries may
// wait for their servers at once, each with its stack.
func (e *Engine) Carry(ctx context.Context, p *Plan, job *Job) (o *report.Outcome) {
	defer func() {
		if recover() != nil {
			o = &report.Outcome{Cause: report.Crashed}
		}
	}()
	ctx, stop := context.WithTimeout(ctx, e.limit(job))
	defer stop()
	t := e.trial(p, job)
	if job.Ride != nil && t.board(ctx, p.cands) == stopHere {
		return t.last
	}
	for i := range p.cands {
		c := &p.cands[i]
		if c.inClear && !t.second {
			t.second, t.left = true, maxTries // of the addresses that have been tried already
		}
		t.tentative = c.Policy.PreferTLS
		if t.host(ctx, c) == stopHere {
			return t.last
		}
		t.unheard = t.unheard || t.soft.Outcome == nil && t.hard.Outcome == nil
	}
	return t.outcome()
}

func (e *Engine) trial(p *Plan, job *Job) *trial {
	t := &trial{Engine: e, job: job, hop: &p.hop, from: &p.from, timeouts: e.Timeouts, left: maxTries}
	if e.kept != nil {
		t.timeouts = e.kept.Table()
	}
	if len(p.cands) > 0 {
		t.first = p.cands[0].Pref
	}
	return t
}

// limit is how long a delivery may take in all: every reply as slow as
// timeoutremote lets it be, and the content not slower than a crawl. A year is
// enough, and far from what a Duration can hold.
func (e *Engine) limit(job *Job) time.Duration {
	const year = 365 * 24 * time.Hour
	reply := min(e.Control.TimeoutRemote, year) + min(e.Control.TimeoutConnect, year)
	return 12*reply + time.Duration(min(job.Message.Size/slowest, int64(year/time.Second)))*time.Second
}

// Longest is how long Plan and Carry may take together, at the most.
func (e *Engine) Longest(job *Job) time.Duration { return e.dnsLimit() + e.limit(job) }

func (e *Engine) dnsLimit() time.Duration {
	if e.Control.TimeoutDNS > 0 {
		return e.Control.TimeoutDNS
	}
	return dnsTime
}

func (e *Engine) candidatesInTime(ctx context.Context, h hop) ([]Candidate, report.Cause) {
	ctx, stop := context.WithTimeout(ctx, e.dnsLimit())
	defer stop()
	return e.candidates(ctx, h)
}

// passes doubles the candidates whose policy prefers TLS over the order of MX
// records (tlsstrictness 1): first all of them under TLS, then in clear.
func passes(cands []Candidate) []Candidate {
	n := len(cands)
	for i := range n {
		if !cands[i].Policy.PreferTLS {
			continue
		}
		again := cands[i]
		again.Policy, again.inClear = tlspolicy.Policy{Mode: tlspolicy.None}, true
		cands = append(cands, again)
		cands[i].Policy.Mode = tlspolicy.Encrypt
	}
	return cands
}

// trial is the state of one delivery as it goes through its candidates.
type trial struct {
	*Engine
	job  *Job
	hop  *hop
	from *routes.Source

	timeouts Timeouts // of this delivery
	left     int      // addresses that may still be tried

	first uint16 // the best preference

	second    bool // the pass in clear has begun
	tentative bool // this host's turn comes again in it

	// ours is why this host could not be asked, if the reason is on our side.
	ours *report.Outcome

	last       *report.Outcome
	soft, hard kept // the first of each kind
	// unheard: a host that comes before all that have spoken could not be
	// asked. It may well take, once it is back, what a lesser one refuses.
	unheard bool
}

// kept is an outcome for the end, in case nobody decides. What a host said to
// an attempt that was only the first of two yields to the second's.
type kept struct {
	*report.Outcome
	tentative bool
}

// host tries one candidate's addresses until one of them decides.
func (t *trial) host(ctx context.Context, c *Candidate) next {
	if c.Fails == report.NoSuchHostYet {
		return nextHost
	}
	if c.Fails != report.Accepted {
		return t.file(&report.Outcome{Cause: c.Fails, Host: c.Host, Detail: c.Detail}, nextHost)
	}
	t.ours = nil
	addrs := t.unblocked(c.Addrs)
	if tx, peer, ok := t.reuse(ctx, c, addrs); ok {
		if v := t.hear(tx, peer); v != nextAddress {
			return v
		}
	}
	for len(addrs) > 0 && t.left > 0 && ctx.Err() == nil {
		addrs = addrs[:min(len(addrs), t.left)]
		conn, peer, rest := t.race(ctx, addrs)
		t.left -= len(addrs) - len(rest)
		addrs = rest
		if conn == nil && t.ours != nil {
			return t.file(t.ours, nextHost)
		}
		if conn == nil {
			break
		}
		tx := t.converse(ctx, c, conn, peer)
		if v := t.hear(tx, peer); v != nextAddress {
			return v
		}
	}
	return nextHost
}

// hear files what became of a conversation, and judges it.
func (t *trial) hear(tx *smtp.Transaction, peer netip.AddrPort) next {
	o := report.Of(*tx, peer.Addr().String())
	o.Each = t.hop.route.QMTP
	return t.file(&o, judge(tx))
}

func (t *trial) unblocked(addrs []netip.AddrPort) []netip.AddrPort {
	var free []netip.AddrPort
	for _, a := range addrs {
		if !t.timeouts.Blocked(a.Addr()) {
			free = append(free, a)
		}
	}
	return free
}

// file keeps an outcome for the end, in case nobody decides.
func (t *trial) file(o *report.Outcome, v next) next {
	t.last = o
	k := &t.soft
	if o.Letter() == 'D' {
		k = &t.hard
	}
	if k.Outcome == nil || k.tentative && !t.tentative {
		*k = kept{o, t.tentative}
	}
	return v
}

// outcome is what is said when every candidate has been tried: a failure for
// good only when nobody failed softly and nobody better went unheard, and the
// best-preferred one's words.
func (t *trial) outcome() *report.Outcome {
	switch {
	case t.soft.Outcome != nil:
		return t.soft.Outcome
	case t.hard.Outcome != nil && t.left > 0 && !t.unheard:
		return t.hard.Outcome
	}
	return &report.Outcome{Cause: report.NoConnection}
}
