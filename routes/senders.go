package routes

import (
	"net/netip"
	"strings"

	"postrider/internal/constmap"
)

// AuthSenders is the routes by sender (authsenders(5)). It is never written
// after it was made.
type AuthSenders struct {
	m constmap.Map[Route]
}

// ParseAuthSenders reads lines "key:relay[;port]|user|password". A line that
// is none of this is passed over; of two with the same key, the last counts.
func ParseAuthSenders(lines []string) *AuthSenders {
	a := &AuthSenders{}
	for _, line := range lines {
		setRoute(&a.m, line, smtpPort)
	}
	return a
}

// Lookup is the route of mail from a sender: of the key that is the whole
// address, or else the longest that is the rest of it from an "@" or a "." on.
// The empty sender has none: a bounce is not the work of a user.
func (a *AuthSenders) Lookup(sender string) (Route, bool) {
	if sender == "" {
		return Route{}, false
	}
	for key := range constmap.Suffixes(sender, "@.") {
		if r, ok := a.m.Lookup(key); ok {
			return r, true
		}
	}
	return Route{}, false
}

// QMTPRoutes is the routes to relays that speak QMTP (qmtproutes(5)). It is
// never written after it was made.
type QMTPRoutes struct {
	m constmap.Map[Route]
}

// Ports that go without saying.
const (
	smtpPort = 25
	qmtpPort = 209
)

// ParseQMTP reads lines "host:relay[;port]". A line that is none of this is
// passed over; of two with the same key, the last counts.
func ParseQMTP(lines []string) *QMTPRoutes {
	q := &QMTPRoutes{}
	for _, line := range lines {
		setRoute(&q.m, line, 0)
	}
	return q
}

// Lookup is the QMTP route for host, in the order of smtproutes: the whole host,
// then each rest of it that begins with a dot, then the empty key. The first
// that is there decides; with an empty relay it says that host has none.
// QMTP is true in a route, and Port never 0.
func (q *QMTPRoutes) Lookup(host string) (Route, bool) {
	for key := range hostKeys(host) {
		if r, ok := q.m.Lookup(key); ok {
			r.QMTP = true
			if r.Port == 0 {
				r.Port = qmtpPort
			}
			if r.Relay == "" {
				return Route{}, false
			}
			return r, true
		}
	}
	return Route{}, false
}

// setRoute adds a line to m, unless it is bad: that affects nothing but itself.
func setRoute(m *constmap.Map[Route], line string, port uint16) {
	key, value, ok := constmap.Cut(line)
	if !ok {
		return
	}
	if r, ok := parseRoute(value, port); ok {
		m.Set(key, r)
	}
}

// DomainIPs is where connections for a sender's domain start (domainips(5)). It
// is never written after it was made.
type DomainIPs struct {
	m constmap.Map[Source]
}

// ParseDomainIPs reads lines "senddomain:ip[%iface][|helohost]". A line that is
// none of this is passed over. Two lines with the same key add up: an address of
// each family, and a helohost; of two that say the same thing, the last counts.
func ParseDomainIPs(lines []string) *DomainIPs {
	d := &DomainIPs{}
	for _, line := range lines {
		key, value, ok := constmap.Cut(line)
		if !ok {
			continue
		}
		s, _ := d.m.Lookup(key)
		if s.add(value) {
			d.m.Set(key, s)
		}
	}
	return d
}

// Lookup is the source for mail from a sender: what is said for its domain,
// then for each rest of that which begins with a dot, then for "*". The first key
// decides, but for a family that it has no address of: then the next key that
// has one is asked, so an address of one family never blocks the other.
// The empty sender has no domain, and is a matter of "*".
func (d *DomainIPs) Lookup(sender string) (Source, bool) {
	domain := sender[strings.LastIndexByte(sender, '@')+1:]
	if len(domain) == len(sender) {
		domain = ""
	}
	var s Source
	found := false
	merge := func(key string) {
		next, ok := d.m.Lookup(key)
		if !ok {
			return
		}
		if !found {
			s.HeloHost = next.HeloHost
			found = true
		}
		if !s.V4.IsValid() {
			s.V4 = next.V4
		}
		if !s.V6.IsValid() {
			s.V6, s.Iface = next.V6, next.Iface
		}
	}
	if domain != "" {
		for key := range constmap.Suffixes(domain, ".") {
			merge(key)
		}
	}
	merge("*")
	return s, found
}

// add takes in "ip[%iface][|helohost]" and says whether it could. Without an
// address it must have a helohost. The interface means nothing to IPv4.
func (s *Source) add(value string) bool {
	if strings.IndexByte(value, 0) >= 0 {
		return false
	}
	ip, helo, _ := strings.Cut(value, "|")
	helo = strings.Trim(helo, " \t")
	ip = strings.Trim(ip, " \t")
	ip, iface, _ := strings.Cut(ip, "%")
	if inner, ok := strings.CutPrefix(ip, "["); ok { // "[fe80::1%eth0]" or "[fe80::1]%eth0"
		ip, iface = strings.TrimSuffix(inner, "]"), strings.TrimSuffix(iface, "]")
	}
	addr, err := netip.ParseAddr(ip)
	switch {
	case err != nil && (ip != "" || helo == ""):
		return false
	case err != nil: // a helohost alone
	case addr.Unmap().Is4():
		s.V4 = addr.Unmap()
	default:
		s.V6, s.Iface = addr, iface
	}
	if helo != "" {
		s.HeloHost = helo
	}
	return true
}
