package resolver

import (
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// What holds when resolv.conf does not say otherwise, and the most that it may
// say: resolv.conf(5).
const (
	defaultTimeout  = 5 * time.Second
	maxTimeout      = 30 // seconds
	defaultAttempts = 2
	maxAttempts     = 5
	maxNameservers  = 3
	// maxFront bounds DNSCACHEIP; dns_resolvconfip of djbdns has room for 16 too.
	maxFront = 16
	// maxResolvConf is more bytes than any resolv.conf has.
	maxResolvConf = 1 << 16
)

// LoadConfig reads resolv.conf, nil when there is none, and the value of
// $DNSCACHEIP, whose servers are asked before those of resolv.conf. Without any
// server localhost is asked. It cannot fail: what is not understood is not there.
func LoadConfig(resolvConf io.Reader, dnsCacheIP string) Config {
	c := Config{Timeout: defaultTimeout, Attempts: defaultAttempts}
	for _, word := range strings.FieldsFunc(dnsCacheIP, betweenAddresses) {
		if addr, ok := parseServer(word); ok && c.Front < maxFront && c.server(addr) == nil {
			c.Servers = append(c.Servers, Server{addr, addr.Addr().IsLoopback()})
			c.Front++
		}
	}
	if resolvConf != nil {
		// What was read before an error is as good as what is written there.
		text, _ := io.ReadAll(io.LimitReader(resolvConf, maxResolvConf))
		c.readResolvConf(string(text))
	}
	if len(c.Servers) == 0 {
		c.Servers = localhost()
	}
	return c
}

// readResolvConf takes nameserver and options lines; keywords stand first in
// their lines, and words that are not known or not well formed are passed over.
func (c *Config) readResolvConf(text string) {
	var names []netip.AddrPort
	trustAD := false
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.Fields(line)
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "nameserver":
			addr, err := netip.ParseAddr(words[1])
			if err == nil && len(names) < maxNameservers {
				names = append(names, netip.AddrPortFrom(addr.Unmap(), 53))
			}
		case "options":
			for _, o := range words[1:] {
				trustAD = c.option(o) || trustAD
			}
		}
	}
	for _, addr := range names {
		trusted := trustAD || addr.Addr().IsLoopback()
		if s := c.server(addr); s != nil { // no use in asking it twice a round
			s.Trusted = s.Trusted || trusted
			continue
		}
		c.Servers = append(c.Servers, Server{addr, trusted})
	}
}

// option obeys one option and reports whether it is trust-ad. edns0 is no news:
// EDNS is always tried.
func (c *Config) option(o string) (trustAD bool) {
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "timeout" && err == nil:
		c.Timeout = time.Duration(min(max(n, 1), maxTimeout)) * time.Second
	case name == "attempts" && err == nil:
		c.Attempts = min(max(n, 1), maxAttempts)
	case o == "rotate":
		c.Rotate = true
	case o == "use-vc":
		c.UseTCP = true
	}
	return o == "trust-ad"
}

// server is the Server at addr, nil if there is none yet.
func (c *Config) server(addr netip.AddrPort) *Server {
	for i := range c.Servers {
		if c.Servers[i].Addr == addr {
			return &c.Servers[i]
		}
	}
	return nil
}

// betweenAddresses tells the bytes of an address, a port and a zone from those
// between two of them.
func betweenAddresses(c rune) bool {
	return (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') &&
		!strings.ContainsRune(".:[]%_-", c)
}

// parseServer reads an address of DNSCACHEIP: 127.0.0.1, ::1, [::1], each of the
// last also with a port.
func parseServer(s string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddrPort(s); err == nil {
		return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), a.Port() != 0
	}
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	return netip.AddrPortFrom(a.Unmap(), 53), err == nil
}

// localhost is where a resolver is looked for when nobody says where it is.
func localhost() []Server {
	v4, v6 := netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()
	return []Server{{netip.AddrPortFrom(v4, 53), true}, {netip.AddrPortFrom(v6, 53), true}}
}
