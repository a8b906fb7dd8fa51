package remote

import (
	"context"
	"net"
	"net/netip"
	"time"

	"postrider/internal/control"
	"postrider/resolver"
	"postrider/routes"
	"postrider/tcpto"
	"postrider/tlspolicy"
)

const (
	// maxTries is how many addresses one delivery tries to reach.
	maxTries = 20
	// stagger is how long an address of a host has before the next is tried
	// beside it (RFC 8305 §5).
	stagger = 250 * time.Millisecond
	// patience is how long the other address family may still take once one
	// has answered.
	patience = 300 * time.Millisecond
	// dnsTime is how long all DNS work of a delivery may take where
	// control/timeoutdns does not say.
	dnsTime = 60 * time.Second
	// dnsLimit is how many look-ups are under way at once.
	dnsLimit = 60
	// slowest is the speed, in bytes a second, below which a message may
	// outlast the bound on its delivery.
	slowest = 500
	// qmtpPort is QMTP's own; under TLS it is 6209, which a route must say.
	qmtpPort = 209
)

// Resolver asks DNS; resolver.Resolver is one.
type Resolver interface {
	MX(ctx context.Context, name string) (resolver.MXAnswer, error)
	Addrs(ctx context.Context, name string, v6 bool) (resolver.AddrAnswer, error)
	TLSA(ctx context.Context, port uint16, name string) (resolver.TLSAAnswer, error)
	CNAMESecure(ctx context.Context, name string) (bool, error)
}

// foresight is a Resolver that can be told what will be asked of it: resolver.Alone
// then asks it, resolver.Cache looks what it remembers.
type foresight interface {
	// Ahead reports whether the answers to now are there, so that the look-ups that
	// ask for them will not wait. It may ask all of it for that, at once.
	Ahead(ctx context.Context, now, later []resolver.Question) bool
}

// foresee is Ahead, where the Resolver has it.
func (e *Engine) foresee(ctx context.Context, now, later []resolver.Question) bool {
	f, ok := e.Resolver.(foresight)
	return ok && f.Ahead(ctx, now, later)
}

// Routes is smtproutes; routes.SMTP is one.
type Routes interface {
	Lookup(host string) (routes.Route, bool, error)
}

// Timeouts remembers addresses that did not answer; tcpto.Table is one.
type Timeouts interface {
	Blocked(netip.Addr) bool
	TimedOut(netip.Addr)
	Answered(netip.Addr)
}

// Engine delivers. All its parts are set once, before the first delivery; its
// methods are safe for concurrent use when the parts are.
type Engine struct {
	Control     control.Snapshot
	Resolver    Resolver
	Routes      Routes
	AuthSenders *routes.AuthSenders
	DomainIPs   *routes.DomainIPs
	QMTPRoutes  *routes.QMTPRoutes
	Timeouts    Timeouts
	TLS         *tlspolicy.Rules
	UnderTLS    Converser
	// Dial connects; a zero from lets the kernel choose the source address.
	Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	// DialAlone, when there is one, is Dial for where nothing else goes on beside
	// it: one address, and a conversation in this process or none.
	DialAlone func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	// Own says whether an interface of this machine has that address.
	Own func(netip.Addr) bool
	// Conns keeps conversations for other deliveries; nil where there are none.
	Conns Conns
	// Sessions says that UnderTLS keeps TLS sessions, under keys like those of Conns.
	Sessions bool

	kept *tcpto.Kept // that of Hold; nil: Timeouts is for the one delivery there is
}
