package tlspolicy

import (
	"net/netip"
	"strings"
)

// canonicalName is a domain name or an address as rules and look-ups compare
// them: lower case, no final dot; "[192.0.2.1]" and "[IPv6:2001:db8::1]" without
// their brackets.
func canonicalName(s string) string {
	s = strings.ToLower(s)
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = strings.TrimPrefix(s[1:len(s)-1], "ipv6:")
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().WithZone("").String()
	}
	return strings.TrimSuffix(s, ".")
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

// serverName is a name for SNI, which never holds an address (RFC 6066 §3).
func serverName(s string) string {
	if isAddress(s) {
		return ""
	}
	return s
}

// SNI is the server name to send, "" for none.
func (p Policy) SNI() string { return serverName(p.ServerName) }

// canonical is d with all its names in the form that is looked up.
func (d Destination) canonical() Destination {
	d.Domain, d.Relay = canonicalName(d.Domain), canonicalName(d.Relay)
	d.Host, d.TLSABase = canonicalName(d.Host), canonicalName(d.TLSABase)
	return d
}

// nextHop is the name that tlsdestinations knows a destination by: a route's
// relay stands in for the domain in all respects.
func (d Destination) nextHop() string {
	if d.Relay != "" {
		return d.Relay
	}
	return d.Domain
}

// verifiedNames is the name that a certificate must bear: the exchanger's, or
// for an address literal the address itself.
func (d Destination) verifiedNames() []string {
	if d.Host != "" {
		return []string{d.Host}
	}
	if n := d.nextHop(); n != "" {
		return []string{n}
	}
	return nil
}

// senderDomain is what follows the last "@" of an envelope sender, lower case;
// "" for the empty sender.
func senderDomain(sender string) string {
	return strings.ToLower(sender[strings.LastIndexByte(sender, '@')+1:])
}

// isHostName reports whether s may become part of a file name: letters, digits,
// "-", "_" and dots between labels. It comes from somebody else's DNS.
func isHostName(s string) bool {
	if s == "" || len(s) > 253 || s[0] == '.' || strings.HasSuffix(s, ".") || strings.Contains(s, "..") {
		return false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return true
}

// maxName is longer than any domain name (RFC 1035 §2.3.4). What is longer comes
// from somebody who wants to see how long we take for it.
const maxName = 255

// suffixes calls try with name, then with each of its suffixes that begin with
// a dot, until try says yes. An address has no suffixes.
func suffixes(name string, try func(string) bool) bool {
	if name == "" || len(name) > maxName {
		return false
	}
	if try(name) {
		return true
	}
	if isAddress(name) {
		return false
	}
	for i := 1; i < len(name); i++ {
		if name[i] == '.' && try(name[i:]) {
			return true
		}
	}
	return false
}
