package remote

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"postrider/internal/smtp"
	"postrider/tlspolicy"
)

// reuse tries a conversation with one of addrs that an earlier delivery left
// open. It reports false when there is none, or when it turns out to have been
// dead: as long as the end of the content has not been sent, nobody has taken
// the message, and a fresh connection may be made as if nothing had happened.
func (t *trial) reuse(ctx context.Context, c Candidate, addrs []netip.AddrPort) (smtp.Transaction, netip.AddrPort, bool) {
	if t.Conns == nil || t.hop.route.QMTP {
		return smtp.Transaction{}, netip.AddrPort{}, false
	}
	for _, peer := range addrs {
		m := manner{policy: c.Policy}
		conn := t.Conns.Take(t.key(m.policy, peer))
		if conn == nil {
			continue
		}
		h := t.handover(m, peer)
		h.Envelope = t.job.envelope()
		tx := send(ctx, conn, h)
		if stale(&tx) {
			continue
		}
		if again, ok := m.weaker(&tx); ok && again.noChunking {
			continue // a fresh connection will find out for itself
		}
		return tx, peer, true
	}
	return smtp.Transaction{}, netip.AddrPort{}, false
}

// stale reports whether a conversation ended because the server had lost
// interest in it, and without doubt as to the message: dropped, or 421, before
// the end of the content was sent (RFC 5321 §3.8).
func stale(t *smtp.Transaction) bool {
	if t.Stage >= smtp.AtDot {
		return false
	}
	return t.Fault == smtp.Dropped || t.Fault == smtp.NoFault && t.Reply.Code == 421
}

// key is all that could change what a conversation with peer means.
func (t *trial) key(p tlspolicy.Policy, peer netip.AddrPort) string {
	p.TLSA = sorted(p.TLSA)
	policy, err := p.MarshalText()
	if err != nil {
		panic("remote: a policy without text: " + err.Error())
	}
	source := t.from.V4
	if peer.Addr().Is6() {
		source = t.from.V6
	}
	r := t.hop.route
	return peer.String() + "\n" + source.String() + "\n" + t.helo() + "\n" + r.User + "\x00" + r.Password + "\n" + string(policy)
}

// sorted is TLSA records in one order: name servers give them in any.
func sorted(records []tlspolicy.TLSA) []tlspolicy.TLSA {
	return slices.SortedFunc(slices.Values(records), func(a, b tlspolicy.TLSA) int {
		return cmp.Or(cmp.Compare(a.Usage, b.Usage), cmp.Compare(a.Selector, b.Selector), cmp.Compare(a.Matching, b.Matching), bytes.Compare(a.Data, b.Data))
	})
}

// Key is the same for plans whose messages may share a transaction: the same
// hosts in any order inside a preference, spoken to in the same manner.
func (p *Plan) Key() string {
	hosts := make([]string, len(p.cands))
	for i, c := range p.cands {
		policy, err := c.Policy.MarshalText()
		if err != nil {
			return "" // never shared
		}
		addrs := slices.Clone(c.Addrs)
		slices.SortFunc(addrs, netip.AddrPort.Compare)
		hosts[i] = fmt.Sprint(c.Host, c.Pref, c.Fails, addrs, string(policy))
	}
	slices.Sort(hosts)
	r := p.hop.route
	return fmt.Sprintf("%q %q %v %v %q", r.User, r.Password, r.QMTP, p.from, hosts)
}

// Host is a name for where a plan goes: its best-preferred host, the first in
// the alphabet among equals. Plans of one Key have the same Host.
func (p *Plan) Host() string {
	if len(p.cands) == 0 {
		return p.hop.name
	}
	best := slices.MinFunc(p.cands, func(a, b Candidate) int {
		return cmp.Or(cmp.Compare(a.Pref, b.Pref), cmp.Compare(a.Host, b.Host))
	})
	return best.Host
}
