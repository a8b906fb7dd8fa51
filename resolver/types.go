package resolver

import (
	"net/netip"
	"time"
)

// Server is a recursive resolver.
type Server struct {
	Addr netip.AddrPort
	// Trusted says that its AD bit may be believed: it is on loopback, or
	// resolv.conf says "options trust-ad" (RFC 6698 §A.3, RFC 7672 §2.1.1).
	Trusted bool
}

// Config is how to ask; LoadConfig reads it from resolv.conf and DNSCACHEIP.
type Config struct {
	Servers  []Server
	Front    int           // how many of Servers, the first ones, rotation leaves in place: DNSCACHEIP's
	Timeout  time.Duration // of one try; options timeout, default 5 s
	Attempts int           // rounds over all servers; options attempts, default 2
	Rotate   bool          // options rotate
	UseTCP   bool          // options use-vc
}

// Kind is what went wrong with a look-up.
type Kind uint8

const (
	_         Kind = iota
	NotFound       // NXDOMAIN: the name does not exist
	NoData         // the name exists, without records of the type asked for
	Temporary      // SERVFAIL, REFUSED, FORMERR, time-out, nonsense: ask again later
)

// Error is a failed look-up. Only Temporary errors may be bogus DNSSEC.
type Error struct {
	Kind Kind
	Name string // the name asked for
	Type string // "MX", "A", "AAAA", "TLSA", "CNAME"
	// Secure says that NotFound or NoData was itself authenticated.
	Secure bool
	Err    error // the cause, for people; may be nil
}

// MX is one exchanger; Host "" is the root: a null MX (RFC 7505).
type MX struct {
	Pref uint16
	Host string
}

// MXAnswer is the exchangers of a name in the server's order, at most 100.
type MXAnswer struct {
	MX     []MX
	Secure bool
}

// AddrAnswer is the addresses of one family of a name, at most 50.
type AddrAnswer struct {
	Addrs []netip.Addr
	// Canonical is the end of the CNAME chain, the name itself without one.
	Canonical string
	// Secure is true when every link of the chain and the addresses were
	// authenticated. Of a chain that is not, Resolver.CNAMESecure says whether
	// its first link is (RFC 7672 §2.2.2).
	Secure bool
}

// TLSA is one TLSA record (RFC 6698 §2.1), unjudged. A record too short to have
// its three numbers has 255 in each and no Data: it is there, and unusable
// (RFC 7672 §2.1 wants TLS even then).
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// TLSAAnswer is the TLSA records of a name, at most 100.
type TLSAAnswer struct {
	Records []TLSA
	Secure  bool
}
