package resolver

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"strconv"
)

// The most records of an answer that are used; what lies beyond is an attack or
// a mistake, and costs the sender of mail, not its receiver.
const (
	maxMX    = 100
	maxAddrs = 50
	maxTLSA  = 100
)

// Resolver asks the servers of a Config. It remembers nothing between look-ups
// and may be used by any number of goroutines at once; it starts none.
type Resolver struct {
	c       Config
	servers []server
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	ahead   *ahead // of an Alone
}

// server is a Server with its address as dial wants it.
type server struct {
	Server
	address string
}

// New makes a Resolver. A Config without servers asks localhost, and zero times
// and counts are the defaults. A nil dial is a net.Dialer's; networks are "udp"
// and "tcp", and the address is an IP with a port.
func New(c Config, dial func(ctx context.Context, network, address string) (net.Conn, error)) *Resolver {
	if len(c.Servers) == 0 {
		c.Servers = localhost()
	}
	if c.Timeout <= 0 {
		c.Timeout = defaultTimeout
	}
	if c.Attempts <= 0 {
		c.Attempts = defaultAttempts
	}
	c.Front = min(max(c.Front, 0), len(c.Servers))
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	r := &Resolver{c: c, dial: dial}
	for _, s := range c.Servers {
		r.servers = append(r.servers, server{s, s.Addr.String()})
	}
	return r
}

// MX asks for the exchangers of name. Hosts that no host can have as a name are
// left out; when none is left, the failure is Temporary, not NoData.
func (r *Resolver) MX(ctx context.Context, name string) (MXAnswer, error) {
	a, _, err := r.ask(ctx, name, typeMX)
	if err != nil {
		return MXAnswer{}, err
	}
	return a.mx(name)
}

func (a answer) mx(name string) (MXAnswer, error) {
	out := MXAnswer{Secure: a.secure}
	for _, rec := range a.records {
		if len(out.MX) == maxMX {
			break
		}
		if rec.end-rec.at < 3 {
			continue
		}
		host, ok := a.name(rec.at+2, rec.end)
		if ok && (host == "" || hostName(host)) {
			out.MX = append(out.MX, MX{binary.BigEndian.Uint16(a.msg[rec.at:]), host})
		}
	}
	if len(out.MX) == 0 {
		return MXAnswer{}, a.unusable(name, typeMX)
	}
	return out, nil
}

// Addrs asks for the addresses of name of one family: IPv6 or IPv4.
func (r *Resolver) Addrs(ctx context.Context, name string, v6 bool) (AddrAnswer, error) {
	typ := addrType(v6)
	a, _, err := r.ask(ctx, name, typ)
	if err != nil {
		return AddrAnswer{}, err
	}
	return a.addrs(name, typ)
}

// addrType is the type of the addresses of one family.
func addrType(v6 bool) uint16 {
	if v6 {
		return typeAAAA
	}
	return typeA
}

func (a answer) addrs(name string, typ uint16) (AddrAnswer, error) {
	out := AddrAnswer{Canonical: a.canonical, Secure: a.secure}
	for _, rec := range a.records {
		if len(out.Addrs) == maxAddrs {
			break
		}
		addr, ok := netip.AddrFromSlice(a.msg[rec.at:rec.end])
		if ok && addr.Is6() == (typ == typeAAAA) {
			out.Addrs = append(out.Addrs, addr)
		}
	}
	if len(out.Addrs) == 0 {
		return AddrAnswer{}, a.unusable(name, typ)
	}
	return out, nil
}

// TLSA asks for the TLSA records of _port._tcp.name (RFC 6698 §3).
func (r *Resolver) TLSA(ctx context.Context, port uint16, name string) (TLSAAnswer, error) {
	a, _, err := r.ask(ctx, tlsaName(port, name), typeTLSA)
	if err != nil {
		return TLSAAnswer{}, err
	}
	return a.tlsa(), nil
}

func tlsaName(port uint16, name string) string {
	return "_" + strconv.Itoa(int(port)) + "._tcp." + name
}

func (a answer) tlsa() TLSAAnswer {
	out := TLSAAnswer{Secure: a.secure}
	for _, rec := range a.records[:min(len(a.records), maxTLSA)] {
		d := a.msg[rec.at:rec.end]
		if len(d) < 3 {
			d = []byte{255, 255, 255}
		}
		out.Records = append(out.Records, TLSA{d[0], d[1], d[2], d[3:]})
	}
	return out
}

// CNAMESecure reports whether name, which is an alias, is one by an authenticated
// CNAME record, whatever becomes of the chain after it (RFC 7672 §2.2.2). A name
// that is no alias is a NoData error.
func (r *Resolver) CNAMESecure(ctx context.Context, name string) (secure bool, err error) {
	a, _, err := r.ask(ctx, name, typeCNAME)
	if err != nil {
		return false, err
	}
	return a.secure, nil
}

// unusable is the failure of an answer that has records, and none that is any
// good: nothing that a bounce may be built on.
func (a answer) unusable(name string, typ uint16) error {
	return &Error{Kind: Temporary, Name: name, Type: typeName(typ), Err: errGarbled}
}
