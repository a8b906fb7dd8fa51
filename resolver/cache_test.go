package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

// looker is what a delivery wants of DNS.
type looker interface {
	MX(ctx context.Context, name string) (resolver.MXAnswer, error)
	Addrs(ctx context.Context, name string, v6 bool) (resolver.AddrAnswer, error)
	TLSA(ctx context.Context, port uint16, name string) (resolver.TLSAAnswer, error)
	CNAMESecure(ctx context.Context, name string) (bool, error)
}

var _, _ looker = (*resolver.Resolver)(nil), (*resolver.Cache)(nil)

// far is a server in memory, a trusted one.
type far struct {
	answer func(q []byte) []byte // nil: nothing, ever
	delay  time.Duration
	asked  atomic.Int64 // questions
	open   atomic.Int64 // questions that their asker still waits for
}

// cache is a Cache of what s answers.
func (s *far) cache(o resolver.CacheOptions) *resolver.Cache {
	server := resolver.Server{Addr: netip.MustParseAddrPort("127.0.0.1:53"), Trusted: true}
	c := resolver.Config{Servers: []resolver.Server{server}, Timeout: time.Hour, Attempts: 1}
	return resolver.NewCache(resolver.New(c, func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		s.open.Add(1)
		go s.converse(ours)
		return theirs, nil
	}), o)
}

func (s *far) converse(conn net.Conn) {
	defer s.open.Add(-1)
	defer conn.Close()
	buf := make([]byte, 1024)
	n, err := conn.Read(buf)
	if err != nil {
		return
	}
	s.asked.Add(1)
	time.Sleep(s.delay)
	if b := s.answer(buf[:n]); b != nil {
		conn.Write(b)
	}
	io.Copy(io.Discard, conn)
}

// says is an answer of records, whatever the question.
func says(records ...string) func(q []byte) []byte {
	return func(q []byte) []byte { return reply(q, nil, records...) }
}

// Ahead says what is remembered, asks nothing, and counts nothing.
func TestCacheAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &far{answer: says("mx.example.net. 60 IN A 192.0.2.1")}
		c := s.cache(resolver.CacheOptions{})
		defer c.Flush()
		known := []resolver.Question{resolver.OfAddrs("mx.example.net", false)}
		unknown := []resolver.Question{known[0], resolver.OfTLSA(25, "mx.example.net")}
		ahead := func(when string, now []resolver.Question, want bool) {
			t.Helper()
			if got := c.Ahead(t.Context(), now, unknown); got != want {
				t.Errorf("%s: %v", when, got)
			}
		}
		ahead("nothing to know", nil, true)
		ahead("before it is asked", known, false)
		if _, err := c.Addrs(t.Context(), "mx.example.net", false); err != nil {
			t.Fatal(err)
		}
		before := c.Stats()
		ahead("as long as it holds", known, true)
		ahead("one of two", unknown, false)
		if after := c.Stats(); after != before || s.asked.Load() != 1 {
			t.Errorf("%+v, were %+v; %d asked", after, before, s.asked.Load())
		}
		time.Sleep(time.Minute)
		ahead("when it holds no more", known, false)
	})
}

// One name in any spelling is one entry, and failures have the caller's; other
// types, families and ports are others.
func TestCacheKeys(t *testing.T) {
	f := dnstest.Zone{
		"example.net. MX":         {"10 mx.example.net."},
		"_25._tcp.example.net. *": {"!nodata"},
	}.Resolver()
	c, ctx := resolver.NewCache(f.Resolver, resolver.CacheOptions{}), t.Context()
	for _, name := range []string{"example.net", "Example.NET", "example.net.", "EXAMPLE.NET."} {
		if got, err := c.MX(ctx, name); err != nil || !reflect.DeepEqual(got, goodMX) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		_, a := c.Addrs(ctx, name, false)
		_, aaaa := c.Addrs(ctx, name, true)
		_, tlsa := c.TLSA(ctx, 25, name)
		_, other := c.TLSA(ctx, 465, name)
		_, cname := c.CNAMESecure(ctx, name)
		for i, err := range []error{a, aaaa, tlsa, other, cname} {
			typ := []string{"A", "AAAA", "TLSA", "TLSA", "CNAME"}[i]
			prefix := []string{"", "", "_25._tcp.", "_465._tcp.", ""}[i]
			kind := []resolver.Kind{resolver.NoData, resolver.NoData, resolver.NoData, resolver.NotFound, resolver.NoData}[i]
			var e *resolver.Error
			if !errors.As(err, &e) || e.Kind != kind || e.Name != prefix+name || e.Type != typ {
				t.Errorf("%s of %s: %v", typ, name, err)
			}
		}
	}
	want := resolver.CacheStats{Entries: 6, Misses: 6, Hits: 18}
	got := c.Stats()
	if got.Bytes <= 0 {
		t.Errorf("%d bytes", got.Bytes)
	}
	if got.Bytes = 0; got != want || len(f.Questions()) != 6 {
		t.Errorf("%+v, asked %q", got, f.Questions())
	}
	for _, name := range []string{"", "a..b", "a b.example"} {
		if _, err := c.MX(ctx, name); resolver.KindOf(err) != resolver.NotFound {
			t.Errorf("C2 %q: %v", name, err)
		}
	}
	if got = c.Stats(); got.Misses != want.Misses || got.Entries != want.Entries || len(f.Questions()) != 6 {
		t.Errorf("names that cannot be asked about: %+v, asked %q", got, f.Questions())
	}
}

// What a caller does to its answer is not seen by the next.
func TestCacheCopies(t *testing.T) {
	f := dnstest.Zone{
		"example.net. MX":            {"20 b.example.net.", "10 a.example.net."},
		"example.net. A":             {"192.0.2.7", "192.0.2.8"},
		"_25._tcp.example.net. TLSA": {"3 1 1 0102", "3 1 1 0304"},
		"_26._tcp.example.net. TLSA": {"!garbage"},
	}.Resolver()
	c, ctx := resolver.NewCache(f.Resolver, resolver.CacheOptions{}), t.Context()
	for range 3 {
		mx, err1 := c.MX(ctx, "example.net")
		a, err2 := c.Addrs(ctx, "example.net", false)
		tlsa, err3 := c.TLSA(ctx, 25, "example.net")
		_, err4 := c.TLSA(ctx, 26, "example.net")
		wantMX, _ := f.MX(ctx, "example.net")
		wantA, _ := f.Addrs(ctx, "example.net", false)
		wantTLSA, _ := f.TLSA(ctx, 25, "example.net")
		var e *resolver.Error
		if !reflect.DeepEqual(mx, wantMX) || !reflect.DeepEqual(a, wantA) || !reflect.DeepEqual(tlsa, wantTLSA) ||
			err1 != nil || err2 != nil || err3 != nil || !errors.As(err4, &e) || e.Kind != resolver.Temporary {
			t.Fatalf("%+v %+v %+v, %v %v %v %v", mx, a, tlsa, err1, err2, err3, err4)
		}
		slices.SortFunc(mx.MX, func(a, b resolver.MX) int { return int(a.Pref) - int(b.Pref) })
		mx.MX[1].Host = "evil.example"
		a.Addrs = append(a.Addrs[:1], a.Addrs[0])
		tlsa.Records[0].Data = append(tlsa.Records[0].Data, 9, 9)
		if !reflect.DeepEqual(tlsa.Records[1], wantTLSA.Records[1]) {
			t.Errorf("one record's data runs into another's: %+v", tlsa)
		}
		tlsa.Records[1].Data[0] = 9
		tlsa.Records[0] = tlsa.Records[1]
		e.Kind, e.Name = resolver.NotFound, "evil.example"
	}
}

// What was authenticated stays so, answers and denials, and what was not, not.
func TestCacheSecure(t *testing.T) {
	f := dnstest.Zone{"in.example. A": {"192.0.2.7"}, "out.example. A": {"192.0.2.8"},
		"alias.in.example. CNAME": {"out.example."}, "!secure": {"in.example."}}.Resolver()
	c := resolver.NewCache(f.Resolver, resolver.CacheOptions{})
	for _, round := range []string{"asked", "remembered"} {
		for name, want := range map[string]bool{"in.example": true, "out.example": false, "alias.in.example": false} {
			if got, err := c.Addrs(t.Context(), name, false); err != nil || got.Secure != want {
				t.Errorf("%s, %s: %+v, %v", name, round, got, err)
			}
			var e *resolver.Error
			if _, err := c.Addrs(t.Context(), name, true); !errors.As(err, &e) || e.Secure != want {
				t.Errorf("denial of %s, %s: %#v", name, round, err)
			}
		}
		if secure, err := c.CNAMESecure(t.Context(), "alias.in.example"); !secure || err != nil {
			t.Errorf("first link, %s: %v, %v", round, secure, err)
		}
	}
}

func benchmarkHit(b *testing.B, look func(c *resolver.Cache) error) {
	f := dnstest.Zone{
		"example.net. MX":                {"10 mx1.example.net.", "20 mx2.example.net."},
		"mx1.example.net. A":             {"192.0.2.7"},
		"_25._tcp.mx1.example.net. TLSA": {"3 1 1 0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"},
	}.Resolver()
	c := resolver.NewCache(f.Resolver, resolver.CacheOptions{})
	for i := range 10000 { // not all alone
		c.MX(b.Context(), fmt.Sprintf("d%d.example", i))
	}
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := look(c); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkCacheHit(b *testing.B) {
	ctx := context.Background()
	b.Run("MX", func(b *testing.B) {
		benchmarkHit(b, func(c *resolver.Cache) error { _, err := c.MX(ctx, "example.net"); return err })
	})
	b.Run("A", func(b *testing.B) {
		benchmarkHit(b, func(c *resolver.Cache) error { _, err := c.Addrs(ctx, "mx1.example.net", false); return err })
	})
	b.Run("TLSA", func(b *testing.B) {
		benchmarkHit(b, func(c *resolver.Cache) error { _, err := c.TLSA(ctx, 25, "mx1.example.net"); return err })
	})
	b.Run("denied", func(b *testing.B) {
		benchmarkHit(b, func(c *resolver.Cache) error {
			if _, err := c.Addrs(ctx, "mx1.example.net", true); err == nil {
				return errors.New("found")
			}
			return nil
		})
	})
}
