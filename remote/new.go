package remote

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"postrider/internal/control"
	"postrider/routes"
	"postrider/tcpto"
	"postrider/tlspolicy"
)

// New wires an Engine for the qmail home at dir, whose control files said s:
// the one wiring of qmail-remote and qmail-rspawn. Its tcpto table is for one
// delivery, and so is its list of interfaces; see Hold.
func New(dir string, s control.Snapshot, r Resolver, underTLS Converser) *Engine {
	run := dir + "/run/qmail-remote/"
	own := sync.OnceValue(interfaces)
	return &Engine{
		Control:     s,
		Resolver:    r,
		Routes:      routes.OpenSMTP(dir+"/control/smtproutes", run+"smtproutes.cdb", run+"smtproutes.lock"),
		AuthSenders: routes.ParseAuthSenders(s.AuthSenders),
		DomainIPs:   routes.ParseDomainIPs(s.DomainIPs),
		QMTPRoutes:  routes.ParseQMTP(s.QMTPRoutes),
		Timeouts:    tcpto.Open(timeoutFiles(dir)),
		TLS: tlspolicy.New(tlspolicy.Config{Home: dir, Anchors: s.TrustAnchors, Strictness: s.Strictness,
			ClientCert: s.ClientCert, ClientKey: s.ClientKey,
			Destinations: s.TLSDestinations, DomainCerts: s.DomainCerts, Hosts: control.Dir(dir + "/control")}),
		UnderTLS: underTLS,
		Dial:     dial,
		Own:      func(a netip.Addr) bool { return slices.Contains(own(), a.WithZone("")) },
	}
}

// timeoutFiles are tcpto's files and clock.
func timeoutFiles(dir string) (file4, file6 string, now func() time.Time) {
	return dir + "/queue/lock/tcpto", dir + "/run/qmail-remote/tcpto6", time.Now
}

// dial connects without keep-alives: timeoutremote notices a dead peer sooner.
// A source address is bound only where one is asked for, so that the kernel
// chooses address and port as it likes (NAT, many connections at once).
func dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// interfaces lists the addresses of this machine's interfaces.
func interfaces() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // control/ipme remains
	}
	var own []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own
}
