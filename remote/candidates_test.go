package remote

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/control"
	"postrider/internal/dnstest"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/resolver"
	"postrider/routes"
	"postrider/tlspolicy"
)

// noRoutes is an smtproutes file that is not there.
type noRoutes map[string]routes.Route

func (r noRoutes) Lookup(host string) (routes.Route, bool, error) {
	route, ok := r[host]
	return route, ok, nil
}

func engine(t *testing.T, zone string) *Engine {
	t.Helper()
	z, err := dnstest.ParseZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	return &Engine{
		Control:     control.Snapshot{TimeoutConnect: time.Minute, IPMe: []netip.Addr{netip.MustParseAddr("203.0.113.9")}},
		Resolver:    z.Resolver(),
		Routes:      noRoutes{},
		AuthSenders: routes.ParseAuthSenders(nil),
		QMTPRoutes:  routes.ParseQMTP(nil),
		DomainIPs:   routes.ParseDomainIPs(nil),
		Timeouts:    &timeouts{},
		TLS:         tlspolicy.New(tlspolicy.Config{Anchors: "/anchors.pem"}),
		Own:         func(a netip.Addr) bool { return a == netip.MustParseAddr("192.0.2.99") },
	}
}

// list writes candidates down: "mx1@10[2001:db8::1 192.0.2.1]", with the mode
// where it is more than opportunistic.
func list(cands []Candidate) string {
	var all []string
	for _, c := range cands {
		s := fmt.Sprintf("%s@%d%v", strings.TrimSuffix(c.Host, ".example"), c.Pref, strs(c.Addrs))
		if c.Policy.Mode > tlspolicy.Opportunistic {
			s += " " + c.Policy.Mode.String()
		}
		if c.Fails != report.Accepted {
			s += fmt.Sprintf(" fails %d", c.Fails)
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

const tlsa = "TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n"

// candidateCases are from zone and destination to hosts in order, or a cause.
func candidateCases() []candidateCase {
	return []candidateCase{
		{"by preference", "d.example. MX 20 b.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\nb.example. A 192.0.2.2\n",
			"d.example", "a@10[192.0.2.1], b@20[192.0.2.2]", report.Accepted},
		{"families alternate, IPv6 first", "d.example. MX 10 a.example.\na.example. A 192.0.2.1\na.example. A 192.0.2.2\na.example. AAAA 2001:db8::1\n",
			"d.example", "a@10[2001:db8::1 192.0.2.1 192.0.2.2]", report.Accepted},
		{"no MX (C3)", "d.example. A 192.0.2.1\n", "d.example", "d@0[192.0.2.1]", report.Accepted},
		{"nothing at all (C4)", "d.example. TXT x\n", "d.example", "", report.NoExchanger},
		{"no such domain (C2)", "", "d.example", "", report.NoSuchHost},
		{"MX fails (C1)", "d.example. MX !servfail\nd.example. A 192.0.2.1\n", "d.example", "", report.NoSuchHostYet},
		{"null MX (C5)", "d.example. MX 0 .\nd.example. A 192.0.2.1\n", "d.example", "", report.NullMX},
		{"null MX among others (C5)", "d.example. MX 0 .\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n",
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"one exchanger dangles (C7)", "d.example. MX 10 gone.example.\nd.example. MX 20 a.example.\na.example. A 192.0.2.1\n",
			"d.example", "a@20[192.0.2.1]", report.Accepted},
		{"all dangle", "d.example. MX 10 gone.example.\n", "d.example", "", report.NoExchanger},
		{"one dangles, one fails softly (C9)", "d.example. MX 10 gone.example.\nd.example. MX 20 a.example.\na.example. A !servfail\na.example. AAAA !servfail\n",
			"d.example", "", report.NoSuchHostYet},
		{"AAAA fails, A is there (C8)", "d.example. MX 10 a.example.\na.example. A 192.0.2.1\na.example. AAAA !servfail\n",
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"AAAA is lost, A is there (C8)", "d.example. MX 10 a.example.\na.example. A 192.0.2.1\na.example. AAAA !timeout\n",
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"the same host twice", "d.example. MX 10 a.example.\nd.example. MX 20 a.example.\na.example. A 192.0.2.1\n",
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"we are best (C10)", "d.example. MX 10 us.example.\nd.example. MX 20 a.example.\nus.example. A 192.0.2.99\na.example. A 192.0.2.1\n",
			"d.example", "", report.Ambiguous},
		{"we are second (C10)", "d.example. MX 10 a.example.\nd.example. MX 20 us.example.\nd.example. MX 20 c.example.\nd.example. MX 30 b.example.\n" +
			"a.example. A 192.0.2.1\nus.example. A 192.0.2.99\nb.example. A 192.0.2.2\nc.example. A 192.0.2.3\n",
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"control/ipme counts", "d.example. A 203.0.113.9\n", "d.example", "", report.Ambiguous},
		{"loopback is us (C11)", "d.example. A 127.0.0.53\n", "d.example", "", report.Ambiguous},
		{"v4-mapped loopback is us (C11)", "d.example. AAAA ::ffff:127.0.0.1\n", "d.example", "", report.Ambiguous},
		{"unspecified is us (C11)", "d.example. AAAA ::\n", "d.example", "", report.Ambiguous},
		{"literal", "", "[192.0.2.7]", "[192.0.2.7]@0[192.0.2.7]", report.Accepted},
		{"IPv6 literal", "", "[ipv6:2001:db8::7]", "[ipv6:2001:db8::7]@0[2001:db8::7]", report.Accepted},
		{"IPv6 literal, short", "", "[2001:db8::7]", "[2001:db8::7]@0[2001:db8::7]", report.Accepted},
		{"our own literal", "", "[192.0.2.99]", "", report.Ambiguous},
		{"a broken literal", "", "[192.0.2.", "", report.NoSuchHost},
		{"no host", "", "", "", report.NoSuchHost},

		{"DANE", "!secure d.example.\n!secure a.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n_25._tcp.a.example. " + tlsa,
			"d.example", "a@10[192.0.2.1] dane", report.Accepted},
		{"insecure MX: no DANE", "!secure a.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n_25._tcp.a.example. " + tlsa,
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"insecure address: no DANE", "!secure d.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n_25._tcp.a.example. " + tlsa,
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"secure, TLSA fails (C18)", "!secure d.example.\n!secure a.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n_25._tcp.a.example. TLSA !servfail\n",
			"d.example", fmt.Sprintf("a@10[192.0.2.1] fails %d", report.DANEFailed), report.Accepted},
		{"insecure, TLSA fails (C19)", "!secure d.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n_25._tcp.a.example. TLSA !servfail\n",
			"d.example", "a@10[192.0.2.1]", report.Accepted},
		{"only unusable TLSA (C17)", "!secure d.example.\n!secure a.example.\nd.example. MX 10 a.example.\na.example. A 192.0.2.1\n_25._tcp.a.example. TLSA 255 1 1 00\n",
			"d.example", "a@10[192.0.2.1] encrypt", report.Accepted},
		{"no MX, DANE of the host itself", "!secure d.example.\nd.example. A 192.0.2.1\n_25._tcp.d.example. " + tlsa,
			"d.example", "d@0[192.0.2.1] dane", report.Accepted},
		{"secure CNAME: TLSA at its end", "!secure example.\nd.example. MX 10 a.example.\na.example. CNAME b.example.\nb.example. A 192.0.2.1\n_25._tcp.b.example. " + tlsa,
			"d.example", "a@10[192.0.2.1] dane", report.Accepted},
		{"secure CNAME: TLSA at the alias", "!secure example.\nd.example. MX 10 a.example.\na.example. CNAME b.example.\nb.example. A 192.0.2.1\n_25._tcp.a.example. " + tlsa,
			"d.example", "a@10[192.0.2.1] dane", report.Accepted},
		{"secure CNAME into an insecure zone: TLSA at the alias", "!secure d.example.\n!secure a.example.\nd.example. MX 10 a.example.\na.example. CNAME b.test.\nb.test. A 192.0.2.1\n_25._tcp.a.example. " + tlsa,
			"d.example", "a@10[192.0.2.1] dane", report.Accepted},
	}
}

type candidateCase struct {
	name, zone, host string
	want             string
	cause            report.Cause
}

func TestCandidates(t *testing.T) {
	for _, c := range candidateCases() {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := engine(t, c.zone)
				start := time.Now()
				got, cause := e.candidates(t.Context(), hop{domain: c.host, name: c.host, port: 25})
				if s := list(got); s != c.want || cause != c.cause {
					t.Errorf("got %q, cause %d; want %q, %d", s, cause, c.want, c.cause)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// TestCandidatesForeseen: asked ahead, DNS says the same.
func TestCandidatesForeseen(t *testing.T) {
	for _, c := range candidateCases() {
		t.Run(c.name, func(t *testing.T) {
			e := engine(t, c.zone)
			patience := time.Minute
			if strings.Contains(c.zone, "!timeout") {
				patience = 2 * time.Second
			}
			e.Resolver = foreseen(t, c.zone, patience)
			got, cause := e.candidates(t.Context(), hop{domain: c.host, name: c.host, port: 25})
			if s := list(got); s != c.want || cause != c.cause {
				t.Errorf("got %q, cause %d; want %q, %d", s, cause, c.want, c.cause)
			}
		})
	}
}

// foreseen is what qmail-remote asks, with patience for a server that answers.
func foreseen(t *testing.T, zone string, patience time.Duration) *resolver.Alone {
	t.Helper()
	z, err := dnstest.ParseZone(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dnstest.Serve("127.0.0.1:0", z, dnstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return resolver.NewAlone(resolver.Config{Timeout: patience, Attempts: 1, Servers: []resolver.Server{{Addr: s.Addr(), Trusted: true}}})
}

// TestAliasesAtOnce: exchangers that are aliases have questions of their own after
// the addresses, and one that gets no answer does not keep the next from asking.
func TestAliasesAtOnce(t *testing.T) {
	zone := "!secure example.\n"
	for i := range 10 {
		zone += fmt.Sprintf("d.example. MX 10 a%d.example.\na%d.example. CNAME b%d.example.\nb%d.example. A 192.0.2.1\n_25._tcp.b%d.example. TLSA !timeout\n", i, i, i, i, i)
	}
	e := engine(t, "")
	const patience = 3 * time.Second
	e.Resolver = foreseen(t, zone, patience)
	start := time.Now()
	got, cause := e.candidates(t.Context(), hop{domain: "d.example", name: "d.example", port: 25})
	if took := time.Since(start); took > 5*patience {
		t.Errorf("took %v", took)
	}
	if cause != report.Accepted || len(got) != 10 || got[0].Fails != report.DANEFailed {
		t.Errorf("%v, cause %d", list(got), cause)
	}
}

// TestFairShuffle: hosts of one preference come first about equally often.
func TestFairShuffle(t *testing.T) {
	e := engine(t, "d.example. MX 10 a.example.\nd.example. MX 10 b.example.\nd.example. MX 10 c.example.\n"+
		"a.example. A 192.0.2.1\nb.example. A 192.0.2.2\nc.example. A 192.0.2.3\n")
	first := map[string]int{}
	const n = 600
	for range n {
		c, _ := e.candidates(context.Background(), hop{name: "d.example", port: 25})
		first[c[0].Host]++
	}
	for _, h := range []string{"a.example", "b.example", "c.example"} {
		if first[h] < n/5 || first[h] > n/2 {
			t.Errorf("%s came first %d times of %d", h, first[h], n)
		}
	}
}

// TestHop: which file sends a message where.
func TestHop(t *testing.T) {
	e := engine(t, "")
	e.AuthSenders = routes.ParseAuthSenders([]string{"@paid.example:relay.example;587|joe|secret"})
	e.QMTPRoutes = routes.ParseQMTP([]string{"fast.example:q.example"})
	e.Routes = noRoutes{
		"r.example":    {Relay: "Relay.Example.", Port: 26},
		"mx.example":   {Port: 26},
		"!@":           {Relay: "bounces.example"},
		"fast.example": {Relay: "slow.example"},
	}
	for _, c := range []struct{ sender, host, want string }{
		{"a@b.example", "r.example", "relay.example:26 true"},
		{"a@b.example", "mx.example", "mx.example:26 false"},
		{"a@b.example", "plain.example", "plain.example:25 false"},
		{"a@paid.example", "r.example", "relay.example:587 true"},
		{"", "plain.example", "bounces.example:25 true"},
		{"a@b.example", "fast.example", "q.example:209 true"},
	} {
		h, err := e.hop(Job{Host: c.host, Envelope: smtp.Envelope{Sender: c.sender}})
		if got := fmt.Sprintf("%s:%d %v", h.name, h.port, h.relay); got != c.want || err != nil {
			t.Errorf("%q to %s: %s, %v; want %s", c.sender, c.host, got, err, c.want)
		}
	}
}

// TestParseJob: arguments, IDNA, and what never reaches the wire.
func TestParseJob(t *testing.T) {
	for _, c := range []struct {
		args  []string
		host  string
		ascii string
		cause report.Cause
	}{
		{[]string{"Example.NET.", "a@b", "c@d"}, "example.net", "", report.Accepted},
		{[]string{"bücher.example", "a@b", "c@bücher.example"}, "xn--bcher-kva.example", "c@xn--bcher-kva.example", report.Accepted},
		{[]string{"example.net", "a@b", "jürgen@d"}, "example.net", "", report.Accepted},
		{[]string{"[IPv6:2001:db8::1]", "a@b", "c@d"}, "[ipv6:2001:db8::1]", "", report.Accepted},
		{[]string{"example.net", "a@b"}, "", "", report.Usage},
		{[]string{"example.net", "a@b", "c\r\nDATA@d"}, "", "", report.BadAddress},
		{[]string{"example.net", "a\nb@b", "c@d"}, "", "", report.BadAddress},
	} {
		j, cause := ParseJob(c.args, &smtp.Message{})
		var ascii string
		if j.Envelope.ASCII != nil {
			ascii = j.Envelope.ASCII.Rcpts[0]
		}
		if j.Host != c.host || ascii != c.ascii || cause != c.cause {
			t.Errorf("%q: host %q, %q, cause %d", c.args, j.Host, ascii, cause)
		}
	}
}

// TestPasses: tlsstrictness 1 goes through all hosts under TLS first.
func TestPasses(t *testing.T) {
	prefer := tlspolicy.Policy{Mode: tlspolicy.Opportunistic, PreferTLS: true}
	got := passes([]Candidate{{Host: "a", Policy: prefer}, {Host: "b", Policy: tlspolicy.Policy{Mode: tlspolicy.DANE}}, {Host: "c", Policy: prefer}})
	var s []string
	for _, c := range got {
		s = append(s, c.Host+" "+c.Policy.Mode.String())
	}
	if want := []string{"a encrypt", "b dane", "c encrypt", "a none", "c none"}; !slices.Equal(s, want) {
		t.Errorf("%v, want %v", s, want)
	}
}
