package remote

import (
	"net/netip"
	"testing"

	"postrider/routes"
	"postrider/tlspolicy"
)

// TestKey: conversations and plans that differ in anything that could change what
// they mean have different keys (C89).
func TestKey(t *testing.T) {
	peer := netip.MustParseAddrPort("192.0.2.1:25")
	seen := map[string]string{}
	for _, c := range []struct {
		name   string
		change func(t *trial, p *tlspolicy.Policy, peer *netip.AddrPort)
	}{
		{"none", func(*trial, *tlspolicy.Policy, *netip.AddrPort) {}},
		{"address", func(_ *trial, _ *tlspolicy.Policy, a *netip.AddrPort) { *a = netip.MustParseAddrPort("192.0.2.2:25") }},
		{"port", func(_ *trial, _ *tlspolicy.Policy, a *netip.AddrPort) { *a = netip.MustParseAddrPort("192.0.2.1:26") }},
		{"HELO name", func(t *trial, _ *tlspolicy.Policy, _ *netip.AddrPort) { t.from.HeloHost = "other.example" }},
		{"source", func(t *trial, _ *tlspolicy.Policy, _ *netip.AddrPort) {
			t.from.V4 = netip.MustParseAddr("198.51.100.1")
		}},
		{"interface", func(t *trial, _ *tlspolicy.Policy, a *netip.AddrPort) {
			*a = netip.MustParseAddrPort("[2001:db8::1]:25")
			t.from.V6, t.from.Iface = netip.MustParseAddr("fe80::1"), "eth0"
		}},
		{"another interface", func(t *trial, _ *tlspolicy.Policy, a *netip.AddrPort) {
			*a = netip.MustParseAddrPort("[2001:db8::1]:25")
			t.from.V6, t.from.Iface = netip.MustParseAddr("fe80::1"), "eth1"
		}},
		{"user", func(t *trial, _ *tlspolicy.Policy, _ *netip.AddrPort) { t.hop.route.User = "u" }},
		{"password", func(t *trial, _ *tlspolicy.Policy, _ *netip.AddrPort) { t.hop.route.Password = "u" }},
		{"user and password", func(t *trial, _ *tlspolicy.Policy, _ *netip.AddrPort) {
			t.hop.route.User, t.hop.route.Password = "u", "u"
		}},
		{"password that may go in clear", func(t *trial, _ *tlspolicy.Policy, _ *netip.AddrPort) {
			t.hop.route.User, t.hop.route.Password, t.hop.route.Clear = "u", "u", true
		}},
		{"mode", func(_ *trial, p *tlspolicy.Policy, _ *netip.AddrPort) { p.Mode = tlspolicy.Encrypt }},
		{"implicit TLS", func(_ *trial, p *tlspolicy.Policy, _ *netip.AddrPort) { p.Mode, p.Implicit = tlspolicy.Encrypt, true }},
		{"TLSA", func(_ *trial, p *tlspolicy.Policy, _ *netip.AddrPort) {
			p.Mode, p.TLSA = tlspolicy.Encrypt, []tlspolicy.TLSA{{Usage: 3, Selector: 1, Matching: 1, Data: make([]byte, 32)}}
		}},
	} {
		tr, p, a := &trial{Engine: &Engine{}, hop: &hop{}}, tlspolicy.Policy{}, peer
		tr.from = &routes.Source{HeloHost: "me.example"}
		c.change(tr, &p, &a)
		plan := &Plan{hop: *tr.hop, from: *tr.from, cands: []Candidate{{Addrs: []netip.AddrPort{a}, Policy: p}}}
		for _, key := range []string{"conversation " + tr.key(&p, a), "plan " + plan.Key()} {
			if other, same := seen[key]; same {
				t.Errorf("%s: the key of %s, %q", c.name, other, key)
			}
			seen[key] = c.name
		}
	}
}
