package remote

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
	"os"
	"slices"
	"strconv"

	"postrider/internal/smtp"
	"postrider/tlspolicy"
)

// reuse tries a conversation with one of addrs that an earlier delivery left
// open. It reports false when there is none, or when it turns out to have been
// dead: as long as the end of the content has not been sent, nobody has taken
// the message, and a fresh connection may be made as if nothing had happened.
func (t *trial) reuse(ctx context.Context, c *Candidate, addrs []netip.AddrPort) (*smtp.Transaction, netip.AddrPort, bool) {
	if t.Conns == nil || t.hop.route.QMTP {
		return nil, netip.AddrPort{}, false
	}
	for _, peer := range addrs {
		m := t.manner(&c.Policy, peer)
		conn := t.Conns.Take(m.key)
		if conn == nil {
			continue
		}
		h := t.handover(m, c, peer)
		if h.Params.NoChunking {
			conn.NoChunking()
		}
		h.Envelope = t.job.envelope()
		tx := send(ctx, conn, h)
		if stale(tx) {
			continue
		}
		if m.weaker(tx) && m.noChunking {
			continue // a fresh connection will find out for itself
		}
		return tx, peer, true
	}
	return nil, netip.AddrPort{}, false
}

// stale reports whether a conversation ended because the server had lost
// interest in it, and without doubt as to the message: dropped, or 421, before
// the end of the content was sent (RFC 5321 §3.8). Only for one that others have
// used before.
func stale(t *smtp.Transaction) bool {
	if t.Stage >= smtp.AtDot {
		return false
	}
	return t.Fault == smtp.Dropped || t.Fault == smtp.NoParams || t.Fault == smtp.NoFault && leaving(t) || weary(t)
}

// leaving reports whether a server has said that it ends the conversation, be it
// about a recipient.
func leaving(t *smtp.Transaction) bool {
	says := func(r smtp.Reply) bool { return r.Code == 421 }
	return says(t.Reply) || slices.ContainsFunc(t.Rcpts, says)
}

// weary reports whether a server has refused MAIL for good.
// Field: some do so when they want no more messages in one conversation, or when
// they have lost count in it; of the sender, a fresh one tells.
func weary(t *smtp.Transaction) bool {
	return t.Stage == smtp.AtMail && t.Fault == smtp.NoFault && t.Reply.Permanent()
}

// key is all that could change what a conversation with peer means.
func (t *trial) key(p *tlspolicy.Policy, peer netip.AddrPort) string {
	r := &t.hop.route
	b := peer.AppendTo(make([]byte, 0, 256))
	b = source(t.from, peer).AppendTo(append(b, '\n'))
	b = append(append(b, '\n'), t.from.HeloHost...)
	b = append(append(b, '\n'), r.User...)
	b = append(append(b, 0), r.Password...)
	b = strconv.AppendBool(append(b, 0), r.Clear)
	return string(appendPolicy(append(b, '\n'), p))
}

// appendPolicy appends a policy's text, the same for TLSA records in any order:
// name servers give them so. Keys and certificates that were replaced under their
// names are others.
func appendPolicy(b []byte, p *tlspolicy.Policy) []byte {
	if len(p.TLSA) > 1 {
		copied := *p
		p = &copied
		p.TLSA = slices.SortedFunc(slices.Values(p.TLSA), func(a, b tlspolicy.TLSA) int {
			return cmp.Or(cmp.Compare(a.Usage, b.Usage), cmp.Compare(a.Selector, b.Selector), cmp.Compare(a.Matching, b.Matching), bytes.Compare(a.Data, b.Data))
		})
	}
	b, err := p.AppendText(b)
	if err != nil {
		panic("remote: a policy without text: " + err.Error())
	}
	for _, name := range p.Files() {
		b = append(b, '\n')
		if info, err := os.Stat(name); err == nil {
			b = strconv.AppendInt(b, info.ModTime().UnixNano(), 36)
			b = strconv.AppendInt(append(b, ' '), info.Size(), 36)
		}
	}
	return b
}

// Key is the same for plans whose messages may share a transaction: the same
// hosts in any order inside a preference, spoken to in the same manner.
func (p *Plan) Key() string {
	hosts := make([]string, 0, 8)
	var b []byte
	for i := range p.cands {
		b = p.cands[i].appendKey(b[:0])
		hosts = append(hosts, string(b))
	}
	slices.Sort(hosts)
	r := &p.hop.route
	b = strconv.AppendQuote(b[:0], r.User)
	b = strconv.AppendQuote(b, r.Password)
	b = strconv.AppendBool(b, r.Clear)
	b = strconv.AppendBool(b, r.QMTP)
	b = p.from.V4.AppendTo(append(b, ' '))
	b = p.from.V6.AppendTo(append(b, ' '))
	b = strconv.AppendQuote(b, p.from.Iface)
	b = strconv.AppendQuote(b, p.from.HeloHost)
	for _, h := range hosts {
		b = append(append(b, '\n'), h...)
	}
	return string(b)
}

// appendKey appends c's part of a plan's key.
func (c *Candidate) appendKey(b []byte) []byte {
	b = strconv.AppendQuote(b, c.Host)
	b = strconv.AppendUint(append(b, ' '), uint64(c.Pref), 10)
	b = strconv.AppendInt(append(b, ' '), int64(c.Fails), 10)
	addrs := slices.Clone(c.Addrs)
	slices.SortFunc(addrs, netip.AddrPort.Compare)
	for _, a := range addrs {
		b = a.AppendTo(append(b, ' '))
	}
	return appendPolicy(append(b, ' '), &c.Policy)
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
