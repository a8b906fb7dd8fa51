package remote

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"postrider/internal/report"
	"postrider/resolver"
	"postrider/tlspolicy"
)

// exchanger is a host that DNS or a route names, and what DNS says of it.
type exchanger struct {
	host    string
	pref    uint16
	literal bool
	// mayDANE: the way from the domain to this host is authenticated, so that
	// TLSA records bind (RFC 7672 §2.2.1).
	mayDANE bool
	// wantTLSA: TLSA records are asked for; weighed: that has been decided.
	weighed, wantTLSA bool

	addrs []netip.Addr
	err   error // why there are no addresses

	hasTLSA bool // secure TLSA records exist, usable or not
	tlsa    []tlspolicy.TLSA
	base    string // the name they stand under
	tlsaErr error  // they could not be had and must be
}

// alone is the cause when x is the only host there is.
func (x *exchanger) alone() report.Cause {
	if len(x.addrs) > 0 {
		return report.Accepted
	}
	return causeOf(x.err)
}

type addrResult struct {
	resolver.AddrAnswer
	err error
}

type tlsaResult struct {
	resolver.TLSAAnswer
	err error
}

// questions are those that lookUp asks about x at once.
func (e *Engine) questions(h hop, x *exchanger) []resolver.Question {
	if !x.weighed {
		x.weighed, x.wantTLSA = true, x.mayDANE && e.TLS.WantsTLSA(destination(h, x))
	}
	qs := []resolver.Question{resolver.OfAddrs(x.host, true), resolver.OfAddrs(x.host, false)}
	if x.wantTLSA {
		qs = append(qs, resolver.OfTLSA(e.port(h, x), x.host))
	}
	return qs
}

// lookUp asks for x's addresses of both families and, when they could matter,
// its TLSA records, all at once, and fills x in.
func (e *Engine) lookUp(ctx context.Context, h hop, x *exchanger) {
	if e.foresee(ctx, e.questions(h, x), nil) {
		if more := e.inHand(ctx, h, x); more != nil {
			more()
		}
		return
	}
	ctx, stop := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer stop()
	addrs := make(chan addrResult, 2)
	for _, v6 := range [...]bool{true, false} {
		asking.Go(func() { addrs <- e.askAddrs(ctx, x, v6) })
	}
	tlsa := make(chan tlsaResult, 1)
	if x.wantTLSA {
		port := e.port(h, x) // here: x is filled in meanwhile
		asking.Go(func() { tlsa <- e.askTLSA(ctx, port, x.host) })
	}
	a := collect(x, addrs)
	if x.wantTLSA && len(x.addrs) > 0 {
		e.bindTLSA(ctx, h, x, a, tlsa)
	}
}

// inHand is lookUp where nobody need be waited for. What there is more to ask,
// about an alias, it leaves to the function that it returns, if any.
func (e *Engine) inHand(ctx context.Context, h hop, x *exchanger) (more func()) {
	addrs := make(chan addrResult, 2)
	addrs <- e.askAddrs(ctx, x, true)
	addrs <- e.askAddrs(ctx, x, false)
	a := collect(x, addrs)
	if !x.wantTLSA || len(x.addrs) == 0 {
		return nil
	}
	tlsa := make(chan tlsaResult, 1)
	tlsa <- e.askTLSA(ctx, e.port(h, x), x.host)
	bind := func() { e.bindTLSA(ctx, h, x, a, tlsa) }
	if x.isAlias(a) {
		return bind
	}
	bind()
	return nil
}

func (e *Engine) askAddrs(ctx context.Context, x *exchanger, v6 bool) addrResult {
	a, err := e.Resolver.Addrs(ctx, x.host, v6)
	return addrResult{a, err}
}

func (e *Engine) askTLSA(ctx context.Context, port uint16, base string) tlsaResult {
	t, err := e.Resolver.TLSA(ctx, port, base)
	return tlsaResult{t, err}
}

// isAlias reports whether a, an answer about x, stands under another name.
func (x *exchanger) isAlias(a resolver.AddrAnswer) bool {
	return a.Canonical != "" && a.Canonical != x.host
}

// collect waits for both families, and for the second not long once the first
// has brought addresses. It gives an answer that did.
func collect(x *exchanger, addrs <-chan addrResult) resolver.AddrAnswer {
	var found resolver.AddrAnswer
	for range 2 {
		var late <-chan time.Time
		if len(found.Addrs) > 0 && len(addrs) == 0 {
			t := time.NewTimer(patience)
			defer t.Stop()
			late = t.C
		}
		select {
		case r := <-addrs:
			if r.err != nil {
				x.fails(r.err)
				break
			}
			if len(found.Addrs) > 0 {
				r.Secure = r.Secure && found.Secure
			}
			for _, a := range r.Addrs {
				x.addrs = append(x.addrs, a.Unmap())
			}
			found = r.AddrAnswer
		case <-late:
			return found
		}
	}
	return found
}

// fails remembers the error that matters most: a soft one beats a definite
// one, and "no such name" beats "no such record".
func (x *exchanger) fails(err error) {
	rank := func(err error) int {
		switch resolver.KindOf(err) {
		case resolver.NoData:
			return 1
		case resolver.NotFound:
			return 2
		}
		return 3
	}
	if x.err == nil || rank(err) > rank(x.err) {
		x.err = err
	}
}

// bindTLSA decides which TLSA records bind x (RFC 7672 §2.2.2): with secure
// addresses, those under the end of the CNAME chain, then those under the name
// itself; with insecure ones, those under the name if its CNAME is secure.
func (e *Engine) bindTLSA(ctx context.Context, h hop, x *exchanger, a resolver.AddrAnswer, own <-chan tlsaResult) {
	alias := x.isAlias(a)
	if !a.Secure && !alias {
		return
	}
	if !a.Secure {
		secure, err := e.Resolver.CNAMESecure(ctx, x.host)
		if resolver.KindOf(err) == resolver.Temporary {
			x.tlsaErr = err // whoever keeps the answer from us must not get cleartext for it
			return
		}
		if err != nil || !secure {
			return // an alias that nobody vouches for cannot bind its target
		}
	}
	if a.Secure && alias {
		if x.takeTLSA(a.Canonical, e.askTLSA(ctx, e.port(h, x), a.Canonical)) {
			return
		}
	}
	x.takeTLSA(x.host, <-own)
}

// takeTLSA takes an answer as binding, or as an error that binds as well; it
// reports false when the answer is that there is nothing.
func (x *exchanger) takeTLSA(base string, r tlsaResult) bool {
	switch {
	case r.err != nil && resolver.KindOf(r.err) == resolver.Temporary:
		x.tlsaErr = r.err
		return true
	case r.err != nil || !r.Secure || len(r.Records) == 0:
		return false
	}
	x.hasTLSA, x.base = true, base
	for _, rr := range r.Records {
		x.tlsa = append(x.tlsa, tlspolicy.TLSA{Usage: rr.Usage, Selector: rr.Selector, Matching: rr.Matching, Data: rr.Data})
	}
	return true
}

// port is where x is spoken to: tlsdestinations may say so, by destination.
func (e *Engine) port(h hop, x *exchanger) uint16 {
	if p := e.TLS.Port(destination(h, x)); p != 0 {
		return p
	}
	return h.port
}
