package handshake

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"net"
	"slices"
	"testing"

	"postrider/tlspolicy"
)

func TestUsable(t *testing.T) {
	der := issue(t, nil, "x", nil)
	for _, tt := range []struct {
		rr   tlspolicy.TLSA
		want bool
	}{
		{record(3, 1, 1, make([]byte, 32)), true},
		{record(2, 0, 1, make([]byte, 32)), true},
		{record(3, 0, 2, make([]byte, 64)), true},
		{der.record(3, 0, 0), true},
		{der.record(3, 1, 0), true},
		{record(0, 1, 1, make([]byte, 32)), false},
		{record(1, 1, 1, make([]byte, 32)), false},
		{record(4, 1, 1, make([]byte, 32)), false},
		{record(255, 1, 1, make([]byte, 32)), false},
		{record(3, 2, 1, make([]byte, 32)), false},
		{record(3, 255, 1, make([]byte, 32)), false},
		{record(3, 1, 3, make([]byte, 32)), false},
		{record(3, 1, 255, make([]byte, 32)), false},
		{record(3, 1, 1, nil), false},
		{record(3, 1, 1, make([]byte, 31)), false},
		{record(3, 1, 1, make([]byte, 33)), false},
		{record(3, 1, 1, make([]byte, 64)), false},
		{record(3, 1, 2, make([]byte, 32)), false},
		{record(3, 0, 0, nil), false},
		{record(3, 0, 0, []byte{1}), false},
		{record(3, 0, 0, []byte{0x30}), false},
		{record(3, 0, 0, []byte{0x30, 0}), false},
		{record(3, 0, 0, []byte{0x30, 0x80, 1}), false},
		{record(3, 0, 0, []byte{0x30, 0x84, 0, 0, 0, 1, 1}), false},
		{record(3, 0, 0, []byte{0x30, 0x83, 0, 0}), false},
		{record(3, 0, 0, der.cert.Raw[:len(der.cert.Raw)-1]), false},
		{record(3, 0, 0, append(slices.Clone(der.cert.Raw), 0)), false},
		{record(0, 0, 0, nil), false},
	} {
		if got := tlspolicy.Usable(tt.rr); got != tt.want {
			t.Errorf("%d %d %d with %d bytes: %v", tt.rr.Usage, tt.rr.Selector, tt.rr.Matching, len(tt.rr.Data), got)
		}
	}
}

// TestDANE is one server after the other against TLSA records, with a real
// handshake for each.
func TestDANE(t *testing.T) {
	root := issue(t, nil, "root", ca)
	middle := issue(t, root, "middle", ca)
	leaf := issue(t, middle, "mx.example.net", server("mx.example.net"))
	direct := issue(t, root, "mx.example.net", server("mx.example.net"))
	late := issue(t, middle, "late", expired(server("mx.example.net")))
	lateMiddle := issue(t, root, "late middle", expired(ca))
	underLate := issue(t, lateMiddle, "under", server("mx.example.net"))
	wrong := issue(t, middle, "wrong", server("mx.example.org"))
	wild := issue(t, middle, "wild", server("*.example.net"))
	base := issue(t, middle, "base", server("real.example.org"))
	domain := issue(t, middle, "domain", server("example.net"))
	named := issue(t, middle, "mx.example.net", nil)
	self := issue(t, nil, "self", server("mx.example.net"))
	selfExpiredWrong := issue(t, nil, "self", expired(server("elsewhere.example")))
	noCA := issue(t, root, "no authority", nil)
	underNoCA := issue(t, noCA, "under", server("mx.example.net"))
	other := issue(t, nil, "other", ca)
	old := issue(t, middle, "old", server("mx.example.net"))
	unknown := record(255, 1, 1, make([]byte, 32))
	one := func(rr ...tlspolicy.TLSA) []tlspolicy.TLSA { return rr }

	for _, tt := range []struct {
		why     string
		server  *identity
		above   int
		records []tlspolicy.TLSA
		ok      bool
	}{
		{"3 0 1", leaf, 2, one(leaf.record(3, 0, 1)), true},
		{"3 1 1", leaf, 2, one(leaf.record(3, 1, 1)), true},
		{"3 0 2", leaf, 0, one(leaf.record(3, 0, 2)), true},
		{"3 1 2", leaf, 0, one(leaf.record(3, 1, 2)), true},
		{"3 0 0", leaf, 0, one(leaf.record(3, 0, 0)), true},
		{"3 1 0", leaf, 0, one(leaf.record(3, 1, 0)), true},
		{"3 of an authority", leaf, 2, one(middle.record(3, 1, 1), root.record(3, 0, 1)), false},
		{"3 of another server", leaf, 2, one(direct.record(3, 1, 1)), false},
		{"3 with the digest of the other selector", leaf, 2, one(record(3, 0, 1, leaf.record(3, 1, 1).Data)), false},
		{"3 takes any name and date", selfExpiredWrong, 0, one(selfExpiredWrong.record(3, 1, 1)), true},
		{"3 of an expired certificate", late, 2, one(late.record(3, 1, 1)), true},
		{"3 of a wrong name", wrong, 2, one(wrong.record(3, 0, 1)), true},
		{"rollover, the new one in use", leaf, 2, one(old.record(3, 1, 1), leaf.record(3, 1, 1)), true},
		{"rollover, the old one in use", old, 2, one(old.record(3, 1, 1), leaf.record(3, 1, 1)), true},
		{"3 fails and 2 holds", leaf, 2, one(old.record(3, 1, 1), root.record(2, 1, 1)), true},
		{"2 fails and 3 holds", leaf, 2, one(other.record(2, 1, 1), leaf.record(3, 1, 1)), true},
		{"what cannot be used does not matter", leaf, 2, one(unknown, leaf.record(3, 1, 1)), true},
		{"nor helps", leaf, 2, one(unknown), false},

		{"2 0 1 of the root", leaf, 2, one(root.record(2, 0, 1)), true},
		{"2 1 1 of the root", leaf, 2, one(root.record(2, 1, 1)), true},
		{"2 0 2 of the root", leaf, 2, one(root.record(2, 0, 2)), true},
		{"2 1 1 of the middle", leaf, 1, one(middle.record(2, 1, 1)), true},
		{"2 1 1 of the middle, the root sent too", leaf, 2, one(middle.record(2, 1, 1)), true},
		{"2 0 1 of a root not sent", leaf, 1, one(root.record(2, 0, 1)), false},
		{"2 0 0 of a root not sent", leaf, 1, one(root.record(2, 0, 0)), true},
		{"2 0 0 of a root, the middle not sent", leaf, 0, one(root.record(2, 0, 0)), false},
		{"2 0 0 of the middle, nothing sent", leaf, 0, one(middle.record(2, 0, 0)), true},
		{"2 1 0 of a root not sent", leaf, 1, one(root.record(2, 1, 0)), true},
		{"2 1 0 of the middle, nothing sent", leaf, 0, one(middle.record(2, 1, 0)), true},
		{"2 1 0 of a root, all sent", leaf, 2, one(root.record(2, 1, 0)), true},
		{"2 1 0 of somebody else", leaf, 2, one(other.record(2, 1, 0)), false},
		{"2 0 0 of somebody else", leaf, 2, one(other.record(2, 0, 0)), false},
		{"2 of somebody else", leaf, 2, one(other.record(2, 0, 1)), false},
		{"2 of the server's own certificate", self, 0, one(self.record(2, 1, 1)), true},
		{"2 0 0 that is no certificate", leaf, 2, one(record(2, 0, 0, []byte{0x30, 1, 5})), false},
		{"2 1 0 that is no key", leaf, 2, one(record(2, 1, 0, []byte{0x30, 1, 5})), false},
		{"2 and an expired certificate", late, 2, one(root.record(2, 1, 1)), false},
		{"2 and an expired authority", underLate, 2, one(root.record(2, 1, 1)), false},
		{"2 and an expired anchor", underLate, 1, one(lateMiddle.record(2, 1, 1)), false},
		{"2 and an expired certificate under a bare key", late, 0, one(middle.record(2, 1, 0)), false},
		{"2 and a wrong name", wrong, 2, one(root.record(2, 1, 1)), false},
		{"2 and a wrong name under a bare key", wrong, 0, one(middle.record(2, 1, 0)), false},
		{"2 and a wildcard", wild, 2, one(root.record(2, 1, 1)), true},
		{"2 and the expanded base", base, 2, one(root.record(2, 1, 1)), true},
		{"2 and the domain's name", domain, 2, one(root.record(2, 1, 1)), true},
		{"2 and a common name alone", named, 2, one(root.record(2, 1, 1)), true},
		{"2 through what is no authority", underNoCA, 2, one(root.record(2, 1, 1)), false},
		{"another one of the chain does not prove the server's", &identity{cert: other.cert, key: other.key, above: leaf.above}, 2, one(root.record(2, 1, 1)), false},
	} {
		p := tlspolicy.Policy{Mode: tlspolicy.DANE, ServerName: "mx.example.net", Names: []string{"example.net", "mx.example.net", "real.example.org"},
			Wildcards: true, CommonName: true, TLSA: tt.records}
		_, info, err := handshake(t, p, &tls.Config{Certificates: []tls.Certificate{tt.server.tls(min(tt.above, len(tt.server.above)))}})
		switch {
		case tt.ok && (err != nil || info.Verified != "dane"):
			t.Errorf("%s: %v, verified %q", tt.why, err, info.Verified)
		case !tt.ok:
			wantFailure(t, tt.why, err, tlspolicy.DANEMismatch)
		}
	}
}

func TestPKIX(t *testing.T) {
	root, other := issue(t, nil, "root", ca), issue(t, nil, "root", ca) // of the same name
	middle := issue(t, root, "middle", ca)
	low := issue(t, middle, "low", ca)
	leaf := issue(t, middle, "unimportant", server("mx.example.net", "mx2.example.net"))
	deep := issue(t, low, "deep", server("mx.example.net"))
	late := issue(t, middle, "late", expired(server("mx.example.net")))
	wild := issue(t, middle, "wild", server("*.example.net"))
	common := issue(t, middle, "mx.example.net", nil)
	both := issue(t, middle, "mx.example.net", server("elsewhere.example"))
	addr := issue(t, middle, "mx", func(c *x509.Certificate) { c.IPAddresses = []net.IP{{192, 0, 2, 1}, net.ParseIP("2001:db8::1")} })
	client := issue(t, middle, "client", func(c *x509.Certificate) {
		c.DNSNames, c.ExtKeyUsage = []string{"mx.example.net"}, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	})
	self := issue(t, nil, "self", server("mx.example.net"))
	good := writePEM(t, "good.pem", "CERTIFICATE", other.cert.Raw, root.cert.Raw)
	bad := writePEM(t, "bad.pem", "CERTIFICATE", other.cert.Raw)
	selfPEM := writePEM(t, "self.pem", "CERTIFICATE", self.cert.Raw)
	pair := func(anchors string, names ...string) tlspolicy.Policy {
		return tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: anchors, Names: names, ServerName: "mx.example.net"}
	}
	with := func(p tlspolicy.Policy, change func(*tlspolicy.Policy)) tlspolicy.Policy { change(&p); return p }
	mx := pair(good, "mx.example.net")

	for _, tt := range []struct {
		why    string
		p      tlspolicy.Policy
		server *identity
		above  int
		want   tlspolicy.What // "" for success
	}{
		{"as it should be", mx, leaf, 1, ""},
		{"the root sent too", mx, leaf, 2, ""},
		{"second name, other case", pair(good, "MX2.EXAMPLE.NET"), leaf, 1, ""},
		{"one of several names will do", pair(good, "a.example", "mx.example.net"), leaf, 1, ""},
		{"wrong name", pair(good, "mx3.example.net"), leaf, 1, tlspolicy.PKIX},
		{"no name to compare", pair(good), leaf, 1, tlspolicy.PKIX},
		{"the chain only", with(pair(good), func(p *tlspolicy.Policy) { p.ChainOnly = true }), leaf, 1, ""},
		{"the chain only, and that broken", with(pair(good), func(p *tlspolicy.Policy) { p.ChainOnly = true }), leaf, 0, tlspolicy.PKIX},
		{"middle not sent", mx, leaf, 0, tlspolicy.PKIX},
		{"another root of the same name", pair(bad, "mx.example.net"), leaf, 2, tlspolicy.PKIX},
		{"expired", mx, late, 1, tlspolicy.PKIX},
		{"self-signed", mx, self, 0, tlspolicy.PKIX},
		{"self-signed and trusted", pair(selfPEM, "mx.example.net"), self, 0, ""},
		{"for clients only", mx, client, 1, tlspolicy.PKIX},
		{"wildcard not allowed", mx, wild, 1, tlspolicy.PKIX},
		{"wildcard allowed", with(mx, func(p *tlspolicy.Policy) { p.Wildcards = true }), wild, 1, ""},
		{"common name not allowed", mx, common, 1, tlspolicy.PKIX},
		{"common name allowed", with(mx, func(p *tlspolicy.Policy) { p.CommonName = true }), common, 1, ""},
		{"common name behind a dNSName", with(mx, func(p *tlspolicy.Policy) { p.CommonName = true }), both, 1, tlspolicy.PKIX},
		{"address", pair(good, "192.0.2.1"), addr, 1, ""},
		{"address of the other family", pair(good, "2001:db8::1"), addr, 1, ""},
		{"wrong address", pair(good, "192.0.2.2"), addr, 1, tlspolicy.PKIX},
		{"within the depth", with(mx, func(p *tlspolicy.Policy) { p.Depth = 1 }), leaf, 2, ""},
		{"beyond the depth", with(mx, func(p *tlspolicy.Policy) { p.Depth = 1 }), deep, 3, tlspolicy.PKIX},
		{"just within the depth", with(mx, func(p *tlspolicy.Policy) { p.Depth = 2 }), deep, 3, ""},
		{"MTA-STS", with(mx, func(p *tlspolicy.Policy) { p.Mode = tlspolicy.STS }), leaf, 1, ""},
		{"MTA-STS and a wrong name", with(pair(good, "x.example"), func(p *tlspolicy.Policy) { p.Mode = tlspolicy.STS }), leaf, 1, tlspolicy.PKIX},
		{"no certificate at all matters", tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, late, 0, ""},
		{"nor under Encrypt", tlspolicy.Policy{Mode: tlspolicy.Encrypt}, self, 0, ""},
	} {
		_, info, err := handshake(t, tt.p, &tls.Config{Certificates: []tls.Certificate{tt.server.tls(tt.above)}})
		if tt.want != "" {
			wantFailure(t, tt.why, err, tt.want)
			continue
		}
		verified := map[tlspolicy.Mode]string{tlspolicy.Opportunistic: "no", tlspolicy.Encrypt: "no", tlspolicy.Verify: "pkix", tlspolicy.STS: "sts"}[tt.p.Mode]
		if err != nil || info.Verified != verified {
			t.Errorf("%s: %v, verified %q", tt.why, err, info.Verified)
		}
	}
}

func TestFingerprint(t *testing.T) {
	id := issue(t, nil, "any", expired(server("elsewhere.example")))
	s1, s224, s256, s512 := sha1.Sum(id.cert.Raw), sha256.Sum224(id.cert.Raw), sha256.Sum256(id.cert.Raw), sha512.Sum512(id.cert.Raw)
	for _, tt := range []struct {
		digest []byte
		want   tlspolicy.What
	}{
		{s1[:], ""}, {s224[:], ""}, {s256[:], ""}, {s512[:], ""},
		{make([]byte, 20), tlspolicy.Pinned}, {make([]byte, 32), tlspolicy.Pinned}, {append(slices.Clone(s512[:63]), ^s512[63]), tlspolicy.Pinned},
		{s256[:31], tlspolicy.Local}, {nil, tlspolicy.Local},
	} {
		_, info, err := handshake(t, tlspolicy.Policy{Mode: tlspolicy.Fingerprint, Digest: tt.digest}, &tls.Config{Certificates: []tls.Certificate{id.tls(0)}})
		if tt.want != "" {
			wantFailure(t, string(tt.want), err, tt.want)
		} else if err != nil || info.Verified != "pkix" {
			t.Errorf("%d bytes: %v, verified %q", len(tt.digest), err, info.Verified)
		}
	}
}

func TestMatchName(t *testing.T) {
	for _, tt := range []struct {
		presented, reference string
		wildcards, want      bool
	}{
		{"mx.example.net", "mx.example.net", false, true},
		{"MX.Example.NET.", "mx.example.net", false, true},
		{"mx.example.net", "mx.example.net.", false, true},
		{"mx.example.net", "example.net", true, false},
		{"*.example.net", "mx.example.net", true, true},
		{"*.EXAMPLE.net", "mx.example.NET", true, true},
		{"*.example.net", "mx.example.net", false, false},
		{"*.example.net", "a.mx.example.net", true, false},
		{"*.example.net", "example.net", true, false},
		{"*.example.net", ".example.net", true, false},
		{"*.net", "example.net", true, false},
		{"*", "net", true, false},
		{"*.", "net", true, false},
		{"m*.example.net", "mx.example.net", true, false},
		{"mx.*.net", "mx.example.net", true, false},
		{"*.*.net", "mx.example.net", true, false},
		{"", "", true, false},
		{"", "mx", true, false},
		{".", ".", true, false},
		{"mx.example.net\x00.evil.example", "mx.example.net", true, false},
		{"mK.example", "m\u212a.example", false, false}, // the Kelvin sign
	} {
		if got := matchName(tt.presented, tt.reference, tt.wildcards); got != tt.want {
			t.Errorf("%q for %q (%v): %v", tt.presented, tt.reference, tt.wildcards, got)
		}
	}
}
