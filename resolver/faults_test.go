package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

// serve starts a server on loopback that answers from lines.
func serve(t testing.TB, lines string, opt dnstest.Options) *dnstest.Server {
	t.Helper()
	z, err := dnstest.ParseZone(lines)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dnstest.Serve("127.0.0.1:0", z, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// patience is for a server that answers, on the busiest of machines; brief is for
// one that does not.
const (
	patience = time.Minute
	brief    = 100 * time.Millisecond
)

// ask is a Resolver of servers that are trusted, and answer.
func ask(servers ...*dnstest.Server) *resolver.Resolver { return waiting(patience, servers...) }

// waiting is one that waits for each of them so long.
func waiting(timeout time.Duration, servers ...*dnstest.Server) *resolver.Resolver {
	c := resolver.Config{Timeout: timeout, Attempts: 1}
	for _, s := range servers {
		c.Servers = append(c.Servers, resolver.Server{Addr: s.Addr(), Trusted: true})
	}
	return resolver.New(c, nil)
}

// kinds looks one name up in every way, and wants all to fail alike.
func kinds(t *testing.T, r *resolver.Resolver, name string, want resolver.Kind) {
	t.Helper()
	_, mx := r.MX(t.Context(), name)
	_, a := r.Addrs(t.Context(), name, false)
	_, aaaa := r.Addrs(t.Context(), name, true)
	_, cname := r.CNAMESecure(t.Context(), name)
	for i, err := range []error{mx, a, aaaa, cname} {
		typ := []string{"MX", "A", "AAAA", "CNAME"}[i]
		var e *resolver.Error
		if !errors.As(err, &e) || e.Kind != want || e.Name != name || e.Type != typ {
			t.Errorf("%s of %s: %v, want %v", typ, name, err, want)
		}
	}
}

func TestFailures(t *testing.T) {
	s := serve(t, `
		servfail.example. * !servfail
		refused.example. * !refused
		formerr.example. * !formerr
		notimp.example. * !notimp
		timeout.example. * !timeout
		garbage.example. * !garbage
		lame.example. * !empty
		nodata.example. TXT "here"
		alias.example. CNAME nowhere.example.
	`, dnstest.Options{})
	r := ask(s)
	for _, name := range []string{"servfail.example", "refused.example", "formerr.example", "notimp.example",
		"garbage.example", "lame.example"} {
		t.Run("C1 "+name, func(t *testing.T) { kinds(t, r, name, resolver.Temporary) })
	}
	t.Run("C1 silence", func(t *testing.T) { kinds(t, waiting(brief, s), "timeout.example", resolver.Temporary) })
	t.Run("C2", func(t *testing.T) { kinds(t, r, "nowhere.example", resolver.NotFound) })
	t.Run("C4", func(t *testing.T) { kinds(t, r, "nodata.example", resolver.NoData) })
	t.Run("C2 at the end of a chain", func(t *testing.T) {
		if _, err := r.MX(t.Context(), "alias.example"); resolver.KindOf(err) != resolver.NotFound {
			t.Errorf("%v", err)
		}
	})
	t.Run("C2 no possible name", func(t *testing.T) {
		for _, name := range []string{"", "a..b", "a b.example", "a\x00.example", strings.Repeat("a", 64) + ".example"} {
			kinds(t, r, name, resolver.NotFound)
		}
	})
}

func TestMX(t *testing.T) {
	many := ""
	for i := range 200 {
		many += fmt.Sprintf("many.example. MX %d mx%d.many.example.\n", i, i)
	}
	s := serve(t, many+`
		example.net. MX 20 B.example.net.
		example.net. MX 10 a.example.net.
		null.example. MX 0 .
		mixed.example. MX 0 .
		mixed.example. MX 10 a.example.net.
		odd.example. MX 1 semi\;colon.example.
		odd.example. MX 2 new\013\010line.example.
		odd.example. MX 3 nul\000.example.
		odd.example. MX 4 a\.b.example.
		odd.example. MX 5 sp\032ace.example.
		odd.example. MX 6 path/name.example.
		odd.example. MX 7 good_one.example.
		worse.example. MX 1 \000.example.
		alias.example. CNAME example.net.
		!secure example.net.
	`, dnstest.Options{})
	r := ask(s)
	for _, tt := range []struct {
		reason, name string
		want         resolver.MXAnswer
	}{
		{"order and case", "Example.NET.", resolver.MXAnswer{MX: []resolver.MX{{Pref: 20, Host: "b.example.net"}, {Pref: 10, Host: "a.example.net"}}, Secure: true}},
		{"C5 null", "null.example", resolver.MXAnswer{MX: []resolver.MX{{Pref: 0, Host: ""}}}},
		{"C5 mixed", "mixed.example", resolver.MXAnswer{MX: []resolver.MX{{Pref: 0, Host: ""}, {Pref: 10, Host: "a.example.net"}}}},
		{"C15 no host names", "odd.example", resolver.MXAnswer{MX: []resolver.MX{{Pref: 7, Host: "good_one.example"}}}},
		{"an alias outside the secure zone", "alias.example", resolver.MXAnswer{MX: []resolver.MX{{Pref: 20, Host: "b.example.net"}, {Pref: 10, Host: "a.example.net"}}}},
	} {
		if got, err := r.MX(t.Context(), tt.name); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.reason, got, err)
		}
	}
	if _, err := r.MX(t.Context(), "worse.example"); resolver.KindOf(err) != resolver.Temporary {
		t.Errorf("C15 nothing usable: %v", err)
	}
	got, err := r.MX(t.Context(), "many.example")
	if err != nil || len(got.MX) != 100 || got.MX[0] != (resolver.MX{Pref: 0, Host: "mx0.many.example"}) {
		t.Errorf("C12: %d exchangers, %v", len(got.MX), err)
	}
	if asked := s.Questions(); !slices.Contains(asked, "many.example. MX tcp") {
		t.Errorf("C12: not by TCP: %q", asked)
	}
}

func TestAddrs(t *testing.T) {
	many := ""
	for i := range 80 {
		many += fmt.Sprintf("many.example. A 192.0.2.%d\nmany.example. AAAA 2001:db8::%d\n", i, i)
	}
	s := serve(t, many+`
		mx.example. A 192.0.2.7
		mx.example. AAAA 2001:db8::7
		half.example. A 192.0.2.8
		half.example. AAAA !timeout
		mapped.example. AAAA ::ffff:127.0.0.1
		alias.example. CNAME mx.example.
	`, dnstest.Options{})
	r := ask(s)
	for _, tt := range []struct {
		reason, name string
		v6           bool
		want         resolver.AddrAnswer
	}{
		{"v4", "mx.example", false, resolver.AddrAnswer{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}, Canonical: "mx.example"}},
		{"v6", "mx.example", true, resolver.AddrAnswer{Addrs: []netip.Addr{netip.MustParseAddr("2001:db8::7")}, Canonical: "mx.example"}},
		{"C6", "alias.example", false, resolver.AddrAnswer{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.7")}, Canonical: "mx.example"}},
		{"C8", "half.example", false, resolver.AddrAnswer{Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.8")}, Canonical: "half.example"}},
		{"C11 as it is", "mapped.example", true, resolver.AddrAnswer{Addrs: []netip.Addr{netip.MustParseAddr("::ffff:127.0.0.1")}, Canonical: "mapped.example"}},
	} {
		if got, err := r.Addrs(t.Context(), tt.name, tt.v6); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", tt.reason, got, err)
		}
	}
	if _, err := waiting(brief, s).Addrs(t.Context(), "half.example", true); resolver.KindOf(err) != resolver.Temporary {
		t.Errorf("C8: %v", err)
	}
	for _, v6 := range []bool{false, true} {
		if got, err := r.Addrs(t.Context(), "many.example", v6); err != nil || len(got.Addrs) != 50 {
			t.Errorf("C12: %d addresses, %v", len(got.Addrs), err)
		}
	}
}

func TestChains(t *testing.T) {
	lines := "loop.example. CNAME loop2.example.\nloop2.example. CNAME loop.example.\nself.example. CNAME self.example.\n"
	for _, n := range []int{3, 16, 17, 100} {
		for i := range n {
			lines += fmt.Sprintf("c%d-%d.example. CNAME c%d-%d.example.\n", n, i, n, i+1)
		}
		lines += fmt.Sprintf("c%d-%d.example. A 192.0.2.7\n", n, n)
	}
	s := serve(t, lines+`
		odd.example. CNAME sp\032ace.example.
		sp\032ace.example. A 192.0.2.7
		nodata.example. CNAME c3-3.example.
	`, dnstest.Options{})
	r := ask(s)
	for _, n := range []int{3, 16} {
		got, err := r.Addrs(t.Context(), fmt.Sprintf("c%d-0.example", n), false)
		if err != nil || len(got.Addrs) != 1 || got.Canonical != fmt.Sprintf("c%d-%d.example", n, n) {
			t.Errorf("C6 %d links: %+v, %v", n, got, err)
		}
	}
	for _, name := range []string{"c17-0.example", "c100-0.example", "loop.example", "self.example", "odd.example"} {
		if got, err := r.Addrs(t.Context(), name, false); resolver.KindOf(err) != resolver.Temporary {
			t.Errorf("C16 %s: %+v, %v", name, got, err)
		}
	}
	n := s.Asked()
	if _, err := r.Addrs(t.Context(), "nodata.example", true); resolver.KindOf(err) != resolver.NoData {
		t.Errorf("C4 at the end of a chain: %v", err)
	}
	if n = s.Asked() - n; n != 1 { // the SOA said it: no second question
		t.Errorf("C4 at the end of a chain: asked %d times", n)
	}
}

func TestTLSA(t *testing.T) {
	many := ""
	for i := range 500 {
		many += fmt.Sprintf("_25._tcp.many.example. TLSA 3 1 1 %064x\n", i)
	}
	r := ask(serve(t, many+`
		_25._tcp.mx.example. TLSA 3 1 1 0102
		_25._tcp.mx.example. TLSA 255 7 9 03
		_465._tcp.mx.example. CNAME _25._tcp.mx.example.
		_25._tcp.fail.example. TLSA !servfail
		_25._tcp.garbage.example. TLSA !garbage
		!secure _tcp.mx.example.
	`, dnstest.Options{}))
	want := resolver.TLSAAnswer{Secure: true, Records: []resolver.TLSA{{3, 1, 1, []byte{1, 2}}, {255, 7, 9, []byte{3}}}}
	for _, port := range []uint16{25, 465} {
		if got, err := r.TLSA(t.Context(), port, "mx.example"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("C17 port %d: %+v, %v", port, got, err)
		}
	}
	if got, err := r.TLSA(t.Context(), 25, "many.example"); err != nil || len(got.Records) != 100 || got.Secure {
		t.Errorf("C17: %d records, %v", len(got.Records), err)
	}
	for name, want := range map[string]resolver.Kind{"fail.example": resolver.Temporary,
		"garbage.example": resolver.Temporary, "none.example": resolver.NotFound} {
		if _, err := r.TLSA(t.Context(), 25, name); resolver.KindOf(err) != want {
			t.Errorf("C18 C19 %s: %v, want %v", name, err, want)
		}
	}
}

func TestSecure(t *testing.T) {
	s := serve(t, `
		sec.example. MX 10 mx.sec.example.
		mx.sec.example. A 192.0.2.7
		in.sec.example. CNAME mx.sec.example.
		out.sec.example. CNAME mx.plain.example.
		mx.plain.example. A 192.0.2.8
		in.plain.example. CNAME mx.sec.example.
		!secure sec.example.
	`, dnstest.Options{})
	far := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}}, nil)
	near := ask(s)
	for _, tt := range []struct {
		reason, name  string
		addrs, cname  bool
		isAlias, fail bool
	}{
		{reason: "both", name: "mx.sec.example", addrs: true},
		{reason: "chain", name: "in.sec.example", addrs: true, cname: true, isAlias: true},
		{reason: "first link only", name: "out.sec.example", cname: true, isAlias: true},
		{reason: "last link only", name: "in.plain.example", isAlias: true},
		{reason: "none", name: "mx.plain.example"},
		{reason: "denied", name: "no.sec.example", fail: true},
	} {
		for _, trusted := range []bool{true, false} { // C20: without trust nothing is secure
			r := far
			if trusted {
				r = near
			}
			got, err := r.Addrs(t.Context(), tt.name, false)
			if (err != nil) != tt.fail || got.Secure != (tt.addrs && trusted) {
				t.Errorf("%s, trusted %v: %+v, %v", tt.reason, trusted, got, err)
			}
			var e *resolver.Error
			if tt.fail && (!errors.As(err, &e) || e.Secure != trusted) {
				t.Errorf("%s, trusted %v: %#v", tt.reason, trusted, err)
			}
			secure, err := r.CNAMESecure(t.Context(), tt.name)
			if secure != (tt.cname && trusted) || (err == nil) != tt.isAlias {
				t.Errorf("%s, trusted %v: CNAME %v, %v", tt.reason, trusted, secure, err)
			}
		}
	}
}

// A server that is down is passed over, at once when the kernel says so.
func TestServers(t *testing.T) {
	good := serve(t, "example.net. MX 10 mx.example.net.\n", dnstest.Options{})
	bad := serve(t, "example.net. * !servfail\n", dnstest.Options{})
	mute := serve(t, "example.net. * !timeout\n", dnstest.Options{})
	dead := serve(t, "", dnstest.Options{})
	dead.Close()
	for name, first := range map[string]*dnstest.Server{"SERVFAIL": bad, "mute": mute, "C21 dead": dead} {
		wait := patience
		if first == mute {
			wait = 2 * time.Second // for the good one too
		}
		got, err := waiting(wait, first, good).MX(t.Context(), "example.net")
		if err != nil || len(got.MX) != 1 {
			t.Errorf("%s, then good: %+v, %v", name, got, err)
		}
		if _, err := waiting(brief, first, dead).MX(t.Context(), "example.net"); resolver.KindOf(err) != resolver.Temporary {
			t.Errorf("%s, then dead: %v", name, err)
		}
	}
	n := bad.Asked()
	c := resolver.Config{Attempts: 3, Servers: []resolver.Server{{Addr: bad.Addr()}, {Addr: dead.Addr()}}}
	if _, err := resolver.New(c, nil).MX(t.Context(), "example.net"); resolver.KindOf(err) != resolver.Temporary {
		t.Errorf("three rounds: %v", err)
	}
	if n = bad.Asked() - n; n != 3 {
		t.Errorf("three rounds: asked %d times", n)
	}
}

// Rotation spreads questions over resolv.conf's servers; DNSCACHEIP's stay first.
func TestRotate(t *testing.T) {
	var order []string
	c := resolver.Config{Rotate: true, Attempts: 1, Front: 1}
	for i := range 4 {
		c.Servers = append(c.Servers, resolver.Server{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 53)})
	}
	r := resolver.New(c, func(_ context.Context, network, address string) (net.Conn, error) {
		order = append(order, network+" "+address)
		return nil, errors.New("no network")
	})
	seconds := map[string]bool{}
	for range 200 {
		order = nil
		r.MX(t.Context(), "example.net")
		if len(order) != 4 || order[0] != "udp 192.0.2.0:53" {
			t.Fatalf("order %q", order)
		}
		seconds[order[1]] = true
		if slices.Sort(order); len(slices.Compact(order)) != 4 {
			t.Fatalf("one asked twice: %q", order)
		}
	}
	if len(seconds) != 3 {
		t.Errorf("rotation begins only at %v", seconds)
	}
}

func TestEDNS(t *testing.T) {
	s := serve(t, `
		old.example. MX !noedns
		old.example. MX 10 mx.example.
		!secure old.example.
	`, dnstest.Options{})
	got, err := ask(s).MX(t.Context(), "old.example")
	if err != nil || len(got.MX) != 1 || !got.Secure {
		t.Errorf("%+v, %v", got, err)
	}
	if n := s.Asked(); n != 2 {
		t.Errorf("asked %d times", n)
	}
}

func TestTCP(t *testing.T) {
	const lines = `
		tc.example. MX !tc
		tc.example. MX 10 mx.example.
		reset.example. MX !tcrefused
		plain.example. MX 10 mx.example.
	`
	s := serve(t, lines, dnstest.Options{})
	r := ask(s)
	if got, err := r.MX(t.Context(), "tc.example"); err != nil || len(got.MX) != 1 {
		t.Errorf("C13 TCP: %+v, %v", got, err)
	}
	if _, err := r.MX(t.Context(), "reset.example"); resolver.KindOf(err) != resolver.Temporary {
		t.Errorf("C13 reset: %v", err)
	}
	if _, err := ask(serve(t, lines, dnstest.Options{NoTCP: true})).MX(t.Context(), "tc.example"); resolver.KindOf(err) != resolver.Temporary {
		t.Errorf("C13 refused: %v", err)
	}
	vc := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}, UseTCP: true}, nil)
	if got, err := vc.MX(t.Context(), "plain.example"); err != nil || len(got.MX) != 1 {
		t.Errorf("use-vc: %+v, %v", got, err)
	}
	want := []string{"tc.example. MX", "tc.example. MX tcp", "reset.example. MX", "reset.example. MX tcp", "plain.example. MX tcp"}
	if asked := s.Questions(); !slices.Equal(asked, want) {
		t.Errorf("asked %q", asked)
	}
}
