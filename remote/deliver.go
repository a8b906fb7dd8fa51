package remote

import (
	"context"
	"net/netip"
	"time"

	"postrider/internal/report"
	"postrider/routes"
	"postrider/tlspolicy"
)

// Plan is where a job goes, before anybody has been spoken to.
type Plan struct {
	hop   hop
	from  routes.Source
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
	return e.Carry(ctx, plan, job)
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
		return nil, report.Outcome{Cause: cause, Host: h.name}
	}
	from, _ := e.DomainIPs.Lookup(h.sender)
	return &Plan{hop: h, from: from, cands: passes(cands)}, o
}

// Carry tries a plan's candidates until somebody decides.
func (e *Engine) Carry(ctx context.Context, p *Plan, job Job) (o report.Outcome) {
	defer func() {
		if recover() != nil {
			o = report.Outcome{Cause: report.Crashed}
		}
	}()
	ctx, stop := context.WithTimeout(ctx, e.limit(job))
	defer stop()
	t := trial{Engine: e, job: job, hop: p.hop, from: p.from, left: maxTries}
	for _, c := range p.cands {
		if t.host(ctx, c) == stopHere {
			return t.last
		}
	}
	return t.outcome()
}

// limit is how long a delivery may take in all: every reply as slow as
// timeoutremote lets it be, and the content not slower than a crawl.
func (e *Engine) limit(job Job) time.Duration {
	return 12*(e.Control.TimeoutRemote+e.Control.TimeoutConnect) + time.Duration(job.Message.Size/slowest)*time.Second
}

func (e *Engine) candidatesInTime(ctx context.Context, h hop) ([]Candidate, report.Cause) {
	if e.Control.TimeoutDNS > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, e.Control.TimeoutDNS)
		defer stop()
	}
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
		again.Policy = tlspolicy.Policy{Mode: tlspolicy.None}
		cands = append(cands, again)
		cands[i].Policy.Mode = tlspolicy.Encrypt
	}
	return cands
}

// trial is the state of one delivery as it goes through its candidates.
type trial struct {
	*Engine
	job  Job
	hop  hop
	from routes.Source
	left int // addresses that may still be tried

	last       report.Outcome
	soft, hard *report.Outcome // the first of each kind
}

// host tries one candidate's addresses until one of them decides.
func (t *trial) host(ctx context.Context, c Candidate) next {
	if c.Fails != report.Accepted {
		return t.file(report.Outcome{Cause: c.Fails, Host: c.Host, Detail: c.Detail}, nextHost)
	}
	addrs := t.unblocked(c.Addrs)
	if tx, peer, ok := t.reuse(ctx, c, addrs); ok {
		o := report.Of(tx, peer.Addr().String())
		if v := t.file(o, judge(&tx)); v != nextAddress {
			return v
		}
	}
	for len(addrs) > 0 && t.left > 0 && ctx.Err() == nil {
		addrs = addrs[:min(len(addrs), t.left)]
		conn, peer, rest := t.race(ctx, t.from, addrs)
		t.left -= len(addrs) - len(rest)
		addrs = rest
		if conn == nil {
			break
		}
		tx := t.converse(ctx, c, conn, peer)
		o := report.Of(tx, peer.Addr().String())
		if v := t.file(o, judge(&tx)); v != nextAddress {
			return v
		}
	}
	return nextHost
}

func (t *trial) unblocked(addrs []netip.AddrPort) []netip.AddrPort {
	var free []netip.AddrPort
	for _, a := range addrs {
		if !t.Timeouts.Blocked(a.Addr()) {
			free = append(free, a)
		}
	}
	return free
}

// file keeps an outcome for the end, in case nobody decides.
func (t *trial) file(o report.Outcome, v next) next {
	t.last = o
	kept := &t.soft
	if o.Letter() == 'D' {
		kept = &t.hard
	}
	if *kept == nil {
		*kept = &o
	}
	return v
}

// outcome is what is said when every candidate has been tried: a failure for
// good only when nobody failed softly, and the best-preferred one's words.
func (t *trial) outcome() report.Outcome {
	switch {
	case t.soft != nil:
		return *t.soft
	case t.hard != nil && t.left > 0:
		return *t.hard
	}
	return report.Outcome{Cause: report.NoConnection}
}
