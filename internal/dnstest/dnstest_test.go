package dnstest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"postrider/resolver"
)

const lines = `
# a zone, as in a dialogue
example.net. MX 10 mx.example.net.
example.net. MX	20   mx2.example.net.
mx.example.net. A 192.0.2.7
mx2.example.net. CNAME mx.example.net.
_25._tcp.mx.example.net. TLSA 3 1 1 0102
slow.example. MX !timeout
dead.example. * !servfail
big.example. MX !tc
big.example. MX 10 mx.example.net.
!secure example.net.
; the end
`

func TestParseZone(t *testing.T) {
	got, err := ParseZone(lines)
	if err != nil {
		t.Fatal(err)
	}
	want := Zone{
		"example.net. MX":               {"10 mx.example.net.", "20   mx2.example.net."},
		"mx.example.net. A":             {"192.0.2.7"},
		"mx2.example.net. CNAME":        {"mx.example.net."},
		"_25._tcp.mx.example.net. TLSA": {"3 1 1 0102"},
		"slow.example. MX":              {"!timeout"},
		"dead.example. *":               {"!servfail"},
		"big.example. MX":               {"!tc", "10 mx.example.net."},
		"!secure":                       {"example.net."},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	for _, bad := range []string{
		"example.net.", "example.net. MX", "!secure", "example.net. NOTYPE x", "example.net. A nothing",
		"example.net. MX mx", "example.net. MX !nomark", "example.net. TLSA 3 1 1 xyz",
	} {
		if z, err := ParseZone(bad); err == nil {
			t.Errorf("%q: %q, want an error", bad, z)
		}
	}
}

func TestFake(t *testing.T) {
	z, err := ParseZone(lines)
	if err != nil {
		t.Fatal(err)
	}
	f, ctx := z.Resolver(), t.Context()
	mx, err := f.MX(ctx, "Example.NET.")
	if want := (resolver.MXAnswer{MX: []resolver.MX{{Pref: 10, Host: "mx.example.net"}, {Pref: 20, Host: "mx2.example.net"}}, Secure: true}); err != nil || !reflect.DeepEqual(mx, want) {
		t.Errorf("MX: %+v, %v", mx, err)
	}
	a, err := f.Addrs(ctx, "mx2.example.net", false)
	if err != nil || a.Canonical != "mx.example.net" || len(a.Addrs) != 1 || !a.Secure {
		t.Errorf("Addrs: %+v, %v", a, err)
	}
	if _, err := f.Addrs(ctx, "mx2.example.net", true); resolver.KindOf(err) != resolver.NoData {
		t.Errorf("AAAA: %v", err)
	}
	tlsa, err := f.TLSA(ctx, 25, "mx.example.net")
	if err != nil || len(tlsa.Records) != 1 || !tlsa.Secure {
		t.Errorf("TLSA: %+v, %v", tlsa, err)
	}
	if secure, err := f.CNAMESecure(ctx, "mx2.example.net"); !secure || err != nil {
		t.Errorf("CNAMESecure: %v, %v", secure, err)
	}
	if _, err := f.MX(ctx, "nowhere.example"); resolver.KindOf(err) != resolver.NotFound {
		t.Errorf("unknown name: %v", err)
	}
	if _, err := f.Addrs(ctx, "dead.example", true); resolver.KindOf(err) != resolver.Temporary {
		t.Errorf("any type of a dead name: %v", err)
	}
	if mx, err := f.MX(ctx, "big.example"); err != nil || len(mx.MX) != 1 || mx.Secure {
		t.Errorf("over TCP: %+v, %v", mx, err)
	}
	asked := f.Questions()
	if want := []string{"big.example. MX", "big.example. MX tcp"}; !slices.Equal(asked[len(asked)-2:], want) {
		t.Errorf("asked %q", asked)
	}
}

// A question without an answer lasts as long as its context, and no longer than
// the resolver's own patience, in a bubble's time.
func TestFakeTimeout(t *testing.T) {
	z := Zone{"slow.example. MX": {"!timeout"}}
	for _, limit := range []time.Duration{3 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			begin := time.Now()
			_, err := z.Resolver().MX(ctx, "slow.example")
			if took := time.Since(begin); took != min(limit, time.Minute) {
				t.Errorf("limit %v: took %v", limit, took)
			}
			if resolver.KindOf(err) != resolver.Temporary || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("limit %v: %v", limit, err)
			}
		})
	}
}

// A server that was asked and has not answered ends when it is told to.
func TestServerClose(t *testing.T) {
	asked := make(chan bool, 2)
	s, err := Serve("127.0.0.1:0", Zone{}, Options{Drip: time.Hour, Raw: func(q []byte, tcp bool) [][]byte {
		asked <- tcp
		return [][]byte{{0}, {0}}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	end := make(chan error)
	for _, tcp := range []bool{false, true} {
		r := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}, Attempts: 1, UseTCP: tcp}, nil)
		go func() { _, err := r.MX(ctx, "example.net"); end <- err }()
		if got := <-asked; got != tcp {
			t.Errorf("asked by TCP: %v, want %v", got, tcp)
		}
	}
	if got, want := s.Questions(), []string{"example.net. MX", "example.net. MX tcp"}; !slices.Equal(got, want) || s.Asked() != 2 {
		t.Errorf("asked %q", got)
	}
	s.Close()
	s.Close()
	cancel()
	for range 2 {
		if err := <-end; resolver.KindOf(err) != resolver.Temporary {
			t.Errorf("cancelled: %v", err)
		}
	}
}
