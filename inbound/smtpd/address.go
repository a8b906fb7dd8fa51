package smtpd

import (
	"errors"
	"net"
	"net/netip"
	"strings"

	"postrider/inbound"
	"postrider/internal/ascii"
)

// domain is what stands after the last "@" of an address, and whether it has one.
func domain(address string) (string, bool) {
	i := strings.LastIndexByte(address, '@')
	return address[i+1:], i >= 0
}

// literal is the IP address that a domain names in brackets (RFC 5321 §4.1.3).
// Compat(qmail): leading zeros are decimal, as people write them.
func literal(domain string) (netip.Addr, bool) {
	inner, opened := strings.CutPrefix(domain, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !opened || !closed {
		return netip.Addr{}, false
	}
	if v6, ok := cutFold(inner, "ipv6:"); ok {
		ip, err := netip.ParseAddr(v6)
		return ip.Unmap(), err == nil && ip.Is6() && ip.Zone() == ""
	}
	var quad [4]byte
	for i := range quad {
		part, rest, dot := strings.Cut(inner, ".")
		if n := number(part); part == "" || strings.Trim(part, "0123456789") != "" || n > 255 || dot != (i < 3) {
			return netip.Addr{}, false
		} else {
			quad[i] = byte(n)
		}
		inner = rest
	}
	return netip.AddrFrom4(quad), true
}

// cutFold is strings.CutPrefix for a prefix in small letters, in any case.
func cutFold(s, prefix string) (string, bool) {
	if len(s) < len(prefix) || !ascii.EqualFold(s[:len(prefix)], prefix) {
		return s, false
	}
	return s[len(prefix):], true
}

// errAddresses is our own addresses not to be known.
const errAddresses = inbound.Fatal("421 unable to figure out my IP addresses (#4.3.0)")

// settle gives an address the form that it has in an envelope: mail to one of
// our own IP addresses is mail to localiphost.
func (s *session) settle(address string) (string, error) {
	host, remote := domain(address)
	if ip, ok := literal(host); remote && ok && s.localIPHost != "" {
		ours, err := s.ours(ip)
		if err != nil {
			return "", err
		}
		if ours {
			address = address[:len(address)-len(host)] + s.localIPHost
		}
	}
	if len(address) > inbound.MaxAddress {
		return "", inbound.BadSyntax
	}
	return address, nil
}

// ours reports whether an IP address is one of this machine's. They are looked
// up when first asked for: few clients ever do.
func (s *session) ours(ip netip.Addr) (bool, error) {
	if ip.IsUnspecified() {
		return true, nil
	}
	if s.addresses == nil {
		all, err := s.interfaces()
		if err != nil {
			return false, errAddresses
		}
		s.addresses = map[netip.Addr]bool{}
		for _, a := range all {
			s.addresses[a.Unmap().WithZone("")] = true
		}
	}
	return s.addresses[ip], nil
}

// upInterfaces gives the addresses of all interfaces that are up.
func upInterfaces() ([]netip.Addr, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var list []netip.Addr
	for _, i := range all {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if prefix, err := netip.ParsePrefix(a.String()); err == nil {
				list = append(list, prefix.Addr())
			}
		}
	}
	if list == nil {
		return nil, errors.New("smtpd: no interface is up")
	}
	return list, nil
}
