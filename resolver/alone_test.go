package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

const aheadZone = `
	!secure sec.example.
	ok.example. MX 10 mx.ok.example.
	ok.example. A 192.0.2.1
	mx.ok.example. A 192.0.2.2
	mx.ok.example. AAAA 2001:db8::2
	sec.example. MX 10 mx.sec.example.
	mx.sec.example. A 192.0.2.3
	_25._tcp.mx.sec.example. TLSA 3 1 1 0102
	plain.example. A 192.0.2.4
	alias.example. CNAME mx.ok.example.
	far.example. CNAME elsewhere.example.
	elsewhere.example. A 192.0.2.5
	fails.example. MX !servfail
	fails.example. A !refused
	cut.example. MX !tc
	cut.example. MX 10 mx.ok.example.
	old.example. MX !noedns
	old.example. MX 10 mx.ok.example.
	odd.example. A !garbage
	lame.example. A !empty
	silent.example. A !timeout
`

// everything is what a Resolver says of a name, errors in words.
func everything(t *testing.T, r asker, name string) string {
	t.Helper()
	var b strings.Builder
	mx, err := r.MX(t.Context(), name)
	fmt.Fprintln(&b, mx, err)
	for _, v6 := range []bool{true, false} {
		a, err := r.Addrs(t.Context(), name, v6)
		fmt.Fprintln(&b, a, err)
	}
	tlsa, err := r.TLSA(t.Context(), 25, name)
	fmt.Fprintln(&b, tlsa, err)
	return regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllString(b.String(), "server")
}

type asker interface {
	MX(ctx context.Context, name string) (resolver.MXAnswer, error)
	Addrs(ctx context.Context, name string, v6 bool) (resolver.AddrAnswer, error)
	TLSA(ctx context.Context, port uint16, name string) (resolver.TLSAAnswer, error)
}

func questions(name string) []resolver.Question {
	return []resolver.Question{resolver.OfMX(name), resolver.OfAddrs(name, true), resolver.OfAddrs(name, false), resolver.OfTLSA(25, name)}
}

// TestAhead: whatever is asked ahead, the answers are the same; and where Ahead
// says that all are in hand, no server is asked any more.
func TestAhead(t *testing.T) {
	s := serve(t, aheadZone, dnstest.Options{})
	config := resolver.Config{Attempts: 1,
		Servers: []resolver.Server{{Addr: s.Addr(), Trusted: true}}}
	for name, inHand := range map[string]bool{
		"ok.example": true, "mx.ok.example": true, "mx.sec.example": true, "plain.example": true, "alias.example": true,
		"nobody.example": true, "far.example": true,
		"fails.example": false, "cut.example": false, "old.example": false, "odd.example": false, "lame.example": false,
		"silent.example": false, "OK.example": false, "a..b": false, "": false,
	} {
		if config.Timeout = patience; name == "silent.example" {
			config.Timeout = time.Second // its other questions are answered
		}
		want := everything(t, resolver.New(config, nil), name)
		r := resolver.NewAlone(config)
		got := r.Ahead(t.Context(), questions(name), nil)
		asked := s.Asked()
		if said := everything(t, r, name); said != want {
			t.Errorf("%s: asked ahead\n%sand not\n%s", name, said, want)
		}
		if got != inHand {
			t.Errorf("%s: Ahead says %v", name, got)
		}
		if more := s.Asked() - asked; inHand && more != 0 {
			t.Errorf("%s: %d more questions after Ahead", name, more)
		}
		if !inHand && r.Ahead(t.Context(), questions("ok.example"), nil) {
			t.Errorf("%s: Ahead goes on after it has given up", name)
		}
	}
}

// TestAheadLater: what is asked for later is not waited for, and not asked again.
func TestAheadLater(t *testing.T) {
	s := serve(t, aheadZone, dnstest.Options{})
	r := resolver.NewAlone(resolver.Config{Timeout: patience, Servers: []resolver.Server{{Addr: s.Addr(), Trusted: true}}})
	silent := []resolver.Question{resolver.OfAddrs("silent.example", false)}
	begun := time.Now()
	if !r.Ahead(t.Context(), []resolver.Question{resolver.OfMX("ok.example")}, append(silent, questions("mx.ok.example")...)) {
		t.Fatal("no MX")
	}
	if waited := time.Since(begun); waited >= patience {
		t.Errorf("waited %v for what was only asked for later", waited)
	}
	if !r.Ahead(t.Context(), questions("mx.ok.example"), nil) {
		t.Fatal("no addresses")
	}
	if n := s.Asked(); n != 6 {
		t.Errorf("%d questions, want 6", n)
	}
	if _, err := r.MX(t.Context(), "ok.example"); err != nil {
		t.Error(err)
	}
	// Once each: the second time the server is asked.
	if _, err := r.MX(t.Context(), "ok.example"); err != nil || s.Asked() != 7 {
		t.Errorf("%v, %d questions, want 7", err, s.Asked())
	}
}

// TestAheadNobody: a server that is not there, one by TCP only, and more
// questions than are asked at once.
func TestAheadNobody(t *testing.T) {
	s := serve(t, aheadZone, dnstest.Options{})
	addr := s.Addr()
	s.Close()
	r := resolver.NewAlone(resolver.Config{Timeout: patience, Attempts: 1, Servers: []resolver.Server{{Addr: addr}}})
	begun := time.Now()
	if r.Ahead(t.Context(), questions("ok.example"), nil) {
		t.Error("answers from nobody")
	}
	if waited := time.Since(begun); waited >= patience {
		t.Errorf("waited %v for a refusal", waited)
	}
	var e *resolver.Error
	if _, err := r.MX(t.Context(), "ok.example"); !errors.As(err, &e) || e.Kind != resolver.Temporary {
		t.Errorf("without a server: %v", err)
	}
	byTCP := resolver.NewAlone(resolver.Config{UseTCP: true, Servers: []resolver.Server{{Addr: addr}}})
	if byTCP.Ahead(t.Context(), questions("ok.example"), nil) {
		t.Error("asked by UDP where TCP is wanted")
	}
	var many []resolver.Question
	for i := range 61 {
		many = append(many, resolver.OfMX(fmt.Sprintf("n%d.example", i)))
	}
	s = serve(t, aheadZone, dnstest.Options{})
	if resolver.NewAlone(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}}).Ahead(t.Context(), many, nil) || s.Asked() != 0 {
		t.Errorf("everything asked at once, or in vain: %d questions", s.Asked())
	}
}

// TestAheadHalf: an alias whose end the server leaves to us, with a denial of
// something else beside it, is no answer in hand.
func TestAheadHalf(t *testing.T) {
	s := serve(t, "!secure x.example.\n", dnstest.Options{Raw: func(packed []byte, tcp bool) [][]byte {
		q, a := new(dns.Msg), new(dns.Msg)
		if q.Unpack(packed) != nil || q.Question[0].Name != "alias.example." {
			return [][]byte{} // silence
		}
		a.SetReply(q)
		a.RecursionAvailable = true
		name := dns.RR_Header{Name: "alias.example.", Rrtype: dns.TypeCNAME, Class: dns.ClassINET, Ttl: 60}
		a.Answer = append(a.Answer, &dns.CNAME{Hdr: name, Target: "end.test."})
		name.Rrtype = dns.TypeSOA
		name.Name = "example."
		a.Ns = append(a.Ns, &dns.SOA{Hdr: name, Ns: "ns.example.", Mbox: "mail.example."})
		b, err := a.Pack()
		if err != nil {
			t.Error(err)
		}
		return [][]byte{b}
	}})
	r := resolver.NewAlone(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}})
	if r.Ahead(t.Context(), []resolver.Question{resolver.OfAddrs("alias.example", true)}, nil) {
		t.Error("in hand, and the rest must be asked for")
	}
}

// TestAheadForged: what does not answer the question is not there.
func TestAheadForged(t *testing.T) {
	s := serve(t, aheadZone, dnstest.Options{Raw: func(q []byte, tcp bool) [][]byte {
		wrongID := append([]byte{q[0] ^ 1}, q[1:]...)
		wrongID[2] |= 0x80
		right := append([]byte(nil), q[:12]...)
		right[2], right[3] = 0x81, 0x83 // NXDOMAIN
		right[5], right[7], right[9], right[11] = 1, 0, 0, 0
		end := 12
		for q[end] != 0 {
			end += 1 + int(q[end])
		}
		right = append(right, q[12:end+5]...)
		return [][]byte{wrongID, []byte("short"), right}
	}})
	r := resolver.NewAlone(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}})
	if !r.Ahead(t.Context(), questions("x.example"), nil) {
		t.Error("forgeries ended the wait")
	}
	if _, err := r.MX(t.Context(), "x.example"); resolver.KindOf(err) != resolver.NotFound {
		t.Errorf("%v", err)
	}
}
