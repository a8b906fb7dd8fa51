package peers

import (
	"testing"

	"github.com/miekg/dns"
)

func TestUnboundJudgesKnotsZones(t *testing.T) {
	k := SignedZones(t, "192.0.2.53",
		Zone{Name: "example.", Records: "good MX 10 mx.good\nmx.good A 192.0.2.10\nalias CNAME mx.good"},
		Zone{Name: "deep.example.", Records: "@ TXT below"},
		Zone{Name: "plain.example.", Trust: Insecure, Records: "@ MX 10 mx\nmx A 192.0.2.11"},
		Zone{Name: "broken.example.", Trust: Bogus, Records: "@ MX 10 mx"},
	)
	r := Unbound(t, "127.0.0.1:53", k)
	for _, c := range []struct {
		name   string
		kind   uint16
		rcode  int
		secure bool
		rows   int
	}{
		{"good.example.", dns.TypeMX, dns.RcodeSuccess, true, 1},
		{"alias.example.", dns.TypeA, dns.RcodeSuccess, true, 2},
		{"nothing.example.", dns.TypeA, dns.RcodeNameError, true, 0},
		{"deep.example.", dns.TypeTXT, dns.RcodeSuccess, true, 1},
		{"plain.example.", dns.TypeMX, dns.RcodeSuccess, false, 1},
		{"broken.example.", dns.TypeMX, dns.RcodeServerFailure, false, 0},
	} {
		q := new(dns.Msg).SetQuestion(c.name, c.kind)
		q.AuthenticatedData = true
		a, _, err := new(dns.Client).Exchange(q, r.Addr)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if a.Rcode != c.rcode || a.AuthenticatedData != c.secure || len(a.Answer) != c.rows {
			t.Errorf("%s: %s secure=%v %v; want %s secure=%v and %d records", c.name,
				dns.RcodeToString[a.Rcode], a.AuthenticatedData, a.Answer, dns.RcodeToString[c.rcode], c.secure, c.rows)
		}
	}
}
