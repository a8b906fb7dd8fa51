package peers

import (
	"strings"
	"testing"
)

const (
	other    = "192.0.2.11" // a server without STARTTLS
	nobodies = "0000000000000000000000000000000000000000000000000000000000000000"
)

// daneZones are one signed top with a domain for each thing DANE can meet; spki is the server's true key.
func daneZones(spki string) []Zone {
	mx := func(domain string) string {
		return domain + " MX 10 mx." + domain + "\nmx." + domain + " A 192.0.2.10\n"
	}
	tlsa := func(domain, data string) string { return "_25._tcp.mx." + domain + " TLSA 3 1 1 " + data + "\n" }
	return []Zone{
		{Name: "example.", Records: mx("match") + tlsa("match", spki) +
			mx("mismatch") + tlsa("mismatch", nobodies) +
			mx("rollover") + tlsa("rollover", nobodies) + tlsa("rollover", spki) +
			mx("unusable") + "_25._tcp.mx.unusable TLSA 0 0 1 " + nobodies + "\n" +
			mx("none") +
			"stripped MX 10 mx.stripped\nmx.stripped A " + other + "\n" + tlsa("stripped", spki) +
			// The exchanger is an alias; the records stand at its target (RFC 7672 §2.2.2).
			"alias MX 10 mail.alias\nmail.alias CNAME mx.match\n" +
			// At its target they do not hold: at the name itself there are none.
			"badalias MX 10 mail.badalias\nmail.badalias CNAME mx.mismatch\n" +
			// The first exchanger fails DANE, the second passes.
			"second MX 10 mx.mismatch\nsecond MX 20 mx.match\n" +
			mx("bogus") +
			"foreign MX 10 mx.insecure\n"},
		{Name: "_tcp.mx.bogus.example.", Trust: Bogus, Records: "_25 TLSA 3 1 1 " + spki},
		{Name: "insecure.example.", Trust: Insecure, Records: "@ MX 10 mx\nmx A 192.0.2.10\n_25._tcp.mx TLSA 3 1 1 " + nobodies},
		{Name: "broken.example.", Trust: Bogus, Records: "@ MX 10 mx\nmx A 192.0.2.10"},
	}
}

func TestRemoteObeysDANE(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			pair := NewAuthority(t).Issue(t, "mx.none.example") // DANE-EE: neither name nor issuer counts
			p := s.start(t, ServerConfig{Listen: where, Cert: pair})
			plain := s.start(t, ServerConfig{Listen: other + ":25"})
			Unbound(t, "127.0.0.1:53", SignedZones(t, "192.0.2.53", daneZones(pair.SPKI)...))
			home := control{"trustanchors": NewAuthority(t).File}.home(t) // another authority: PKIX would say no
			delivered := 0
			for _, c := range []struct{ domain, letters, report string }{
				{"match", "rK", "verified=dane"},
				{"mismatch", "Z", "#4.7.5"},
				{"rollover", "rK", "verified=dane"},
				{"unusable", "rK", "verified=no"},
				{"none", "rK", "verified=no"},
				{"stripped", "Z", "#4.7.5"},
				{"alias", "rK", "verified=dane"},
				{"badalias", "Z", "#4.7.5"},
				{"second", "rK", "verified=dane"},
				{"bogus", "Z", "#4."},
				{"insecure", "rK", "verified=no"},
				{"foreign", "rK", "verified=no"},
				{"broken", "Z", "#4."},
				{"nothing", "D", "#5.1.2"},
			} {
				t.Run(c.domain, func(t *testing.T) {
					d := delivery{home, c.domain + ".example", "me@example.org", []string{"you@" + c.domain + ".example"}, sample}
					d.run(t).want(t, c.letters, c.report)
				})
				delivered += strings.Count(c.letters, "r")
			}
			if got := p.Wait(t, delivered); len(got) != delivered {
				t.Errorf("%d copies, want %d", len(got), delivered)
			}
			if got := plain.Messages(t); len(got) != 0 {
				t.Errorf("delivered in clear: %+q", got)
			}
		})
	}
}

func TestRemoteVerifiesNames(t *testing.T) {
	ca := NewAuthority(t)
	p := Postfix(t, ServerConfig{Listen: where, Cert: ca.Issue(t, "mx.none.example")})
	Unbound(t, "127.0.0.1:53", SignedZones(t, "192.0.2.53", daneZones(nobodies)...))
	for _, c := range []struct {
		name, domain, anchors string
		letters, report       string
	}{
		{"issuer and name", "none", ca.File, "rK", "verified=pkix"},
		{"wrong name", "insecure", ca.File, "Z", "#4.7.5"},
		{"wrong issuer", "none", NewAuthority(t).File, "Z", "#4.7.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			home := control{"trustanchors": c.anchors, "tlsstrictness": "2"}.home(t)
			d := delivery{home, c.domain + ".example", "me@example.org", []string{"you@" + c.domain + ".example"}, sample}
			d.run(t).want(t, c.letters, c.report)
		})
	}
	arrived(t, p, sample, "WITH ESMTPS", "you@none.example")
}
