package routes

import "net/netip"

// Route is a relay that stands in for the MX records of a destination.
type Route struct {
	Relay    string // name, or address without brackets; "" means: use MX after all
	Port     uint16 // 0 means the protocol's own
	User     string // for AUTH; "" means none
	Password string
	Clear    bool // the password field began with "!": AUTH may go without TLS
	QMTP     bool // the route comes from qmtproutes
}

// Source is where connections start from, for a sender's domain (domainips).
type Source struct {
	V4, V6   netip.Addr // zero: the kernel chooses
	Iface    string     // interface of V6, maybe empty
	HeloHost string     // empty: control/helohost
}
