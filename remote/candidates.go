package remote

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"postrider/internal/report"
	"postrider/resolver"
	"postrider/routes"
	"postrider/tlspolicy"
)

// hop is where a message goes next: a relay, or whatever DNS says of a domain.
type hop struct {
	domain string // as the job has it
	sender string
	relay  bool // name stands in the control files: no MX, no check for ourselves
	name   string
	shown  string // name as somebody wrote it, for the report
	port   uint16
	route  routes.Route
}

// Candidate is one host that may take the message, in the order of trial.
type Candidate struct {
	Host   string // A-labels; the address for a literal
	Pref   uint16
	Addrs  []netip.AddrPort // families interleaved, IPv6 first (RFC 8305 §4)
	Policy tlspolicy.Policy
	// Fails is not Accepted when the host must not be tried: its TLSA records
	// could not be had, say. Detail tells more.
	Fails  report.Cause
	Detail string

	inClear bool // has been tried before, under TLS: see passes
}

// hop finds the route of a job: authsenders, then the empty sender's route,
// qmtproutes and smtproutes (qmail-remote(8), CONTROL FILES).
func (e *Engine) hop(j Job) (hop, error) {
	h := hop{domain: j.Host, sender: j.Envelope.Sender, name: j.Host, shown: j.written(), port: 25}
	if r, ok := e.AuthSenders.Lookup(h.sender); ok {
		return h.via(r), nil
	}
	if h.sender == "" {
		if r, ok, err := e.Routes.Lookup("!@"); ok || err != nil {
			return h.via(r), err
		}
	}
	if r, ok := e.QMTPRoutes.Lookup(j.Host); ok {
		return h.via(r), nil
	}
	r, ok, err := e.Routes.Lookup(j.Host)
	if !ok || err != nil {
		return h, err
	}
	return h.via(r), nil
}

// via makes h go by a route; a route without relay only gives port and credentials.
func (h hop) via(r routes.Route) hop {
	h.route = r
	if r.QMTP {
		h.port = qmtpPort
	}
	if r.Port != 0 {
		h.port = r.Port
	}
	if r.Relay == "" {
		return h
	}
	h.relay, h.shown = true, r.Relay
	h.name, _ = toASCII(strings.TrimSuffix(r.Relay, "."))
	return h
}

// candidates asks DNS. The cause is Accepted when there is somebody to try.
func (e *Engine) candidates(ctx context.Context, h hop) ([]Candidate, report.Cause) {
	xs, cause := e.exchangers(ctx, h)
	if cause != report.Accepted {
		return nil, cause
	}
	if !h.relay {
		if xs = e.cutSelf(xs); len(xs) == 0 {
			return nil, report.Ambiguous
		}
	}
	// Shuffled first, sorted stably after: every order inside a preference is
	// equally likely (RFC 5321 §5.1).
	rand.Shuffle(len(xs), func(i, j int) { xs[i], xs[j] = xs[j], xs[i] })
	slices.SortStableFunc(xs, func(a, b *exchanger) int { return int(a.pref) - int(b.pref) })
	cands := make([]Candidate, 0, len(xs))
	found := false
	for _, x := range xs {
		switch {
		case len(x.addrs) > 0:
			found = true
			cands = append(cands, e.candidate(h, x))
		case resolver.KindOf(x.err) == resolver.Temporary:
			cands = append(cands, Candidate{Host: x.host, Pref: x.pref, Fails: report.NoSuchHostYet})
		}
	}
	if !found {
		return nil, unreachable(xs)
	}
	return cands, report.Accepted
}

// exchangers finds the hosts for a hop and looks all of them up at once.
func (e *Engine) exchangers(ctx context.Context, h hop) ([]*exchanger, report.Cause) {
	if a, ok := literal(h.name); ok {
		return []*exchanger{{host: h.name, literal: true, addrs: []netip.Addr{a}}}, report.Accepted
	}
	if strings.HasPrefix(h.name, "[") || h.name == "" {
		return nil, report.NoSuchHost
	}
	if h.relay {
		x := &exchanger{host: h.name, mayDANE: true}
		e.lookUp(ctx, h, x)
		return []*exchanger{x}, x.alone()
	}
	self := &exchanger{host: h.name, mayDANE: true}
	mx, err := e.mx(ctx, h, self)
	if resolver.KindOf(err) == resolver.NoData {
		return []*exchanger{self}, self.alone() // implicit MX, RFC 5321 §5.1
	}
	if err != nil {
		return nil, causeOf(err)
	}
	xs := exchangersOf(mx)
	if len(xs) == 0 {
		return nil, report.NullMX // RFC 7505 §3
	}
	e.lookUpAll(ctx, h, xs)
	return xs, report.Accepted
}

// mx asks for MX records. The host's own addresses are asked along with them, so
// that a host without any costs no second round trip: after NoData self is
// looked up.
func (e *Engine) mx(ctx context.Context, h hop, self *exchanger) (resolver.MXAnswer, error) {
	if e.foresee(ctx, []resolver.Question{resolver.OfMX(h.name)}, e.questions(h, self)) {
		mx, err := e.Resolver.MX(ctx, h.name)
		if resolver.KindOf(err) == resolver.NoData {
			e.lookUp(ctx, h, self)
		}
		return mx, err
	}
	own, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.lookUp(own, h, self)
	}()
	mx, err := e.Resolver.MX(ctx, h.name)
	if resolver.KindOf(err) != resolver.NoData {
		stop()
	}
	<-done
	return mx, err
}

// lookUpAll looks all of xs up at once.
func (e *Engine) lookUpAll(ctx context.Context, h hop, xs []*exchanger) {
	var all []resolver.Question
	for _, x := range xs {
		all = append(all, e.questions(h, x)...)
	}
	var g errgroup.Group
	g.SetLimit(dnsLimit / 3)
	if e.foresee(ctx, all, nil) {
		var more []func()
		for _, x := range xs {
			if f := e.inHand(ctx, h, x); f != nil {
				more = append(more, f)
			}
		}
		for _, f := range more {
			g.Go(func() error { f(); return nil })
		}
		g.Wait()
		return
	}
	for _, x := range xs[1:] {
		g.Go(func() error { e.lookUp(ctx, h, x); return nil })
	}
	e.lookUp(ctx, h, xs[0])
	g.Wait()
}

// exchangersOf makes exchangers of MX records: the root is no host (RFC 7505),
// and a name that stands twice counts once, at its best preference.
func exchangersOf(mx resolver.MXAnswer) []*exchanger {
	slices.SortStableFunc(mx.MX, func(a, b resolver.MX) int { return int(a.Pref) - int(b.Pref) })
	var xs []*exchanger
	for _, m := range mx.MX {
		same := func(x *exchanger) bool { return x.host == m.Host }
		if m.Host != "" && !slices.ContainsFunc(xs, same) {
			xs = append(xs, &exchanger{host: m.Host, pref: m.Pref, mayDANE: mx.Secure})
		}
	}
	return xs
}

// candidate turns a host with addresses into somebody to try.
func (e *Engine) candidate(h hop, x *exchanger) Candidate {
	c := Candidate{Host: x.host, Pref: x.pref}
	if x.tlsaErr != nil {
		// Without its TLSA records a secure host must not be spoken to (RFC 7672 §2.1).
		c.Fails, c.Detail = report.DANEFailed, x.tlsaErr.Error()
	}
	d := destination(h, x)
	p, err := e.TLS.Decide(d)
	if err != nil {
		c.Fails, c.Detail = report.UnreadableControl, err.Error()
	}
	c.Policy = p
	port := h.port
	if p.Port != 0 {
		port = p.Port
	}
	for _, a := range interleave(x.addrs) {
		c.Addrs = append(c.Addrs, netip.AddrPortFrom(a, port))
	}
	return c
}

// destination is what tlspolicy must know of an exchanger.
func destination(h hop, x *exchanger) tlspolicy.Destination {
	d := tlspolicy.Destination{Domain: h.domain, Sender: h.sender, Port: h.port,
		TLSA: x.tlsa, TLSABase: x.base}
	if h.relay {
		d.Relay = h.name
	}
	if !x.literal {
		d.Host = x.host
	}
	if x.hasTLSA {
		d.TLSAStatus = tlspolicy.TLSAFound
	}
	return d
}

// cutSelf drops the exchangers at the preference where this machine stands, and
// all worse ones, so that mail cannot go round (RFC 5321 §5.1).
func (e *Engine) cutSelf(xs []*exchanger) []*exchanger {
	limit := 1 << 16
	for _, x := range xs {
		if int(x.pref) < limit && slices.ContainsFunc(x.addrs, e.isSelf) {
			limit = int(x.pref)
		}
	}
	var rest []*exchanger
	for _, x := range xs {
		if int(x.pref) < limit {
			rest = append(rest, x)
		}
	}
	return rest
}

// isSelf: 0.0.0.0 and :: connect to this machine, as does all of loopback. A zone,
// which only an address literal can have, changes nothing of that.
func (e *Engine) isSelf(a netip.Addr) bool {
	return a.IsUnspecified() || a.IsLoopback() || slices.Contains(e.Control.IPMe, a.WithZone("")) || e.Own(a)
}

// interleave alternates the families, IPv6 first, each in its given order.
func interleave(addrs []netip.Addr) []netip.Addr {
	var v4, v6, all []netip.Addr
	for _, a := range addrs {
		switch {
		case a.IsMulticast(): // nobody's address, and no definite fact either
		case a.Is4():
			v4 = append(v4, a)
		default:
			v6 = append(v6, a)
		}
	}
	for i := 0; i < max(len(v4), len(v6)); i++ {
		if i < len(v6) {
			all = append(all, v6[i])
		}
		if i < len(v4) {
			all = append(all, v4[i])
		}
	}
	return all
}

// unreachable judges exchangers of which none has an address: soft if any
// failed softly.
func unreachable(xs []*exchanger) report.Cause {
	for _, x := range xs {
		if resolver.KindOf(x.err) == resolver.Temporary {
			return report.NoSuchHostYet
		}
	}
	return report.NoExchanger
}

// causeOf judges a failed look-up of the host that the mail is for.
func causeOf(err error) report.Cause {
	var dns *resolver.Error
	if !errors.As(err, &dns) {
		return report.NoSuchHostYet
	}
	switch dns.Kind {
	case resolver.NotFound:
		return report.NoSuchHost
	case resolver.NoData:
		return report.NoExchanger
	}
	return report.NoSuchHostYet
}
