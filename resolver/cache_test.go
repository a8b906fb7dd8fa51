package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

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

// denies is NXDOMAIN or NODATA with an authority section, behind records.
func denies(rcode int, soa string, records ...string) func(q []byte) []byte {
	return func(q []byte) []byte {
		return reply(q, func(m *dns.Msg) {
			m.Rcode = rcode
			if rr, err := dns.NewRR(soa); err == nil && rr != nil {
				m.Ns = []dns.RR{rr}
			}
		}, records...)
	}
}

// inPieces leaves the end of the chain to a second question.
func inPieces(first, second uint32) func(q []byte) []byte {
	return func(q []byte) []byte {
		var m dns.Msg
		m.Unpack(q)
		if m.Question[0].Name == "example.net." {
			return reply(q, nil, fmt.Sprintf("example.net. %d CNAME far.example.", first))
		}
		return reply(q, nil, fmt.Sprintf("far.example. %d A 192.0.2.7", second))
	}
}

const soa = " SOA ns.invalid. root.invalid. 1 1800 900 604800 "

// What is found is remembered to the nanosecond as long as it holds, not longer.
func TestCacheLasts(t *testing.T) {
	const nx, ok = dns.RcodeNameError, dns.RcodeSuccess
	for _, tt := range []struct {
		reason string
		answer func(q []byte) []byte
		want   time.Duration // 0: not remembered
	}{
		{"its TTL", says("example.net. 60 A 192.0.2.7"), time.Minute},
		{"the lowest of a set", says("example.net. 60 A 192.0.2.7", "example.net. 30 A 192.0.2.8", "example.net. 90 A 192.0.2.9"), 30 * time.Second},
		{"the lowest of a chain: a link", says("example.net. 20 CNAME b.example.", "b.example. 300 A 192.0.2.7"), 20 * time.Second},
		{"the lowest of a chain: its end", says("example.net. 300 CNAME b.example.", "b.example. 20 A 192.0.2.7"), 20 * time.Second},
		{"a chain in pieces, the first", inPieces(20, 300), 20 * time.Second},
		{"a chain in pieces, the second", inPieces(300, 20), 20 * time.Second},
		{"not what belongs to others", says("example.net. 60 A 192.0.2.7", "example.org. 5 A 192.0.2.8", "example.org. 5 CNAME example.com."), time.Minute},
		{"zero is a second", says("example.net. 0 A 192.0.2.7"), time.Second},
		{"RFC 2181 §8: the highest bit", says("example.net. 4294967295 A 192.0.2.7"), time.Second},
		{"the longest that is kept", says("example.net. 2147483647 A 192.0.2.7"), time.Hour},

		{"NXDOMAIN: MINIMUM", denies(nx, "net. 100"+soa+"50"), 50 * time.Second},
		{"NXDOMAIN: the SOA's TTL", denies(nx, "net. 50"+soa+"100"), 50 * time.Second},
		{"NXDOMAIN: the longest that is kept", denies(nx, "net. 86400"+soa+"86400"), 15 * time.Minute},
		{"NXDOMAIN: zero is a second", denies(nx, "net. 0"+soa+"0"), time.Second},
		{"NXDOMAIN: no SOA", denies(nx, ""), 0},
		{"NXDOMAIN: the SOA of others", denies(nx, "org. 100"+soa+"50"), 0},
		{"NXDOMAIN: behind a chain", denies(nx, "example. 100"+soa+"50", "example.net. 20 CNAME b.example."), 20 * time.Second},
		{"NODATA: MINIMUM", denies(ok, "net. 100"+soa+"50"), 50 * time.Second},
		{"NODATA: no SOA", denies(ok, ""), 0},
		{"NODATA: behind a chain", denies(ok, "example. 100"+soa+"50", "example.net. 20 CNAME b.example."), 20 * time.Second},

		{"SERVFAIL", denies(dns.RcodeServerFailure, ""), time.Second},
		{"REFUSED", denies(dns.RcodeRefused, "net. 100"+soa+"50"), time.Second},
		{"C15 nothing usable", func(q []byte) []byte { return answering(q, raw(dns.TypeA, 3, "abc")) }, time.Second},
		{"C16 loop", says("example.net. 60 CNAME example.net."), time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &far{answer: tt.answer}
			c := s.cache(resolver.CacheOptions{})
			look := func() (resolver.AddrAnswer, error) { return c.Addrs(t.Context(), "example.net", false) }
			first, firstErr := look()
			n := s.asked.Load()
			if tt.want > 0 {
				time.Sleep(tt.want - 1)
				if again, err := look(); s.asked.Load() != n || !reflect.DeepEqual(again, first) || !reflect.DeepEqual(err, firstErr) {
					t.Errorf("%s: asked again before %v: %+v, %v", tt.reason, tt.want, again, err)
				}
				time.Sleep(time.Nanosecond)
			}
			if again, _ := look(); s.asked.Load() != 2*n || !reflect.DeepEqual(again, first) {
				t.Errorf("%s: not asked again after %v: %+v", tt.reason, tt.want, again)
			}
		})
	}
}

func TestCacheOptions(t *testing.T) {
	for reason, tt := range map[string]struct {
		answer func(q []byte) []byte
		want   time.Duration
	}{
		"an answer": {says(good), 10 * time.Second},
		"a failure": {denies(dns.RcodeNameError, "net. 100"+soa+"50"), 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &far{answer: tt.answer}
			c := s.cache(resolver.CacheOptions{MaxTTL: 10 * time.Second, MaxNegative: 5 * time.Second})
			c.MX(t.Context(), "example.net")
			time.Sleep(tt.want - 1)
			c.MX(t.Context(), "example.net")
			if s.asked.Load() != 1 {
				t.Errorf("%s: asked again before %v", reason, tt.want)
			}
			time.Sleep(time.Nanosecond)
			c.MX(t.Context(), "example.net")
			if s.asked.Load() != 2 {
				t.Errorf("%s: not asked again after %v", reason, tt.want)
			}
		})
	}
}

// A patience that is worn out is a failure like others, remembered for a second.
func TestCacheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := dnstest.Zone{"slow.example. MX": {"!timeout"}}.Resolver()
		c := resolver.NewCache(f.Resolver, resolver.CacheOptions{})
		begin := time.Now()
		for range 2 {
			_, err := c.MX(t.Context(), "slow.example")
			if resolver.KindOf(err) != resolver.Temporary || time.Since(begin) != time.Minute {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
		}
		time.Sleep(time.Second)
		c.MX(t.Context(), "slow.example")
		if n := len(f.Questions()); n != 2 {
			t.Errorf("asked %d times", n)
		}
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

// Many callers at once are one question, and each has an answer of its own.
func TestCacheShares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &far{answer: says(good), delay: time.Second}
		c := s.cache(resolver.CacheOptions{})
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				got, err := c.MX(t.Context(), []string{"example.net", "Example.net."}[i%2])
				if err != nil || !reflect.DeepEqual(got, goodMX) {
					t.Errorf("%+v, %v", got, err)
				}
				got.MX[0].Host = "evil.example"
			})
		}
		all.Wait()
		got := c.Stats()
		want := resolver.CacheStats{Entries: 1, Bytes: got.Bytes, Misses: 1, Shared: 49}
		if got != want || s.asked.Load() != 1 {
			t.Errorf("%+v, asked %d times", got, s.asked.Load())
		}
	})
}

// What is asked of one name at the same time is kept apart.
func TestCacheSharesNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &far{delay: time.Second}
		s.answer = func(q []byte) []byte {
			var m dns.Msg
			m.Unpack(q)
			return reply(q, nil, m.Question[0].Name+" 60 "+map[string]string{
				"example.net. MX": "MX 10 mx.example.net.", "example.net. A": "A 192.0.2.7",
				"example.net. AAAA": "AAAA 2001:db8::7", "_25._tcp.example.net. TLSA": "TLSA 3 1 1 19",
				"_465._tcp.example.net. TLSA": "TLSA 3 1 1 46", "example.net. CNAME": "CNAME example.org.",
			}[m.Question[0].Name+" "+dns.TypeToString[m.Question[0].Qtype]])
		}
		c, ctx := s.cache(resolver.CacheOptions{}), t.Context()
		want := []string{"{[{10 mx.example.net}] false}", "{[{3 1 1 [25]}] false}", "false",
			"{[2001:db8::7] example.net false}", "{[192.0.2.7] example.net false}", "{[{3 1 1 [70]}] false}"}
		var all sync.WaitGroup
		for kind := range want {
			all.Go(func() {
				var got any
				var err error
				if kind < 5 {
					got, err = ask1(ctx, c, "example.net", kind)
				} else {
					got, err = c.TLSA(ctx, 465, "example.net")
				}
				if err != nil || fmt.Sprint(got) != want[kind] {
					t.Errorf("%d: %v, %v, want %s", kind, got, err, want[kind])
				}
			})
		}
		all.Wait()
	})
}

// A caller whose context ends leaves then, whether it asked or joined, and nobody
// else notices; when all have left, the question ends, and counts for nothing.
func TestCacheCancel(t *testing.T) {
	for _, tt := range []struct {
		reason string
		leave  []int // seconds after which each caller leaves; 0: never
		asked  int64
	}{
		{"the first", []int{1, 0, 0}, 1},
		{"one that joined", []int{0, 1, 0}, 1},
		{"all but the last", []int{1, 2, 3, 0}, 1},
		{"all", []int{1, 3, 2}, 2},
		{"alone", []int{1}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &far{answer: says(good), delay: 5 * time.Second}
			c := s.cache(resolver.CacheOptions{})
			errGone := errors.New("gone")
			begin := time.Now()
			var all sync.WaitGroup
			for i, n := range tt.leave {
				ctx := t.Context()
				if n > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeoutCause(ctx, time.Duration(n)*time.Second, errGone)
					defer cancel()
				}
				all.Go(func() {
					got, err := c.MX(ctx, "example.net")
					took := time.Since(begin)
					switch {
					case n == 0 && (err != nil || !reflect.DeepEqual(got, goodMX) || took != s.delay):
						t.Errorf("%s: caller %d: %+v, %v after %v", tt.reason, i, got, err, took)
					case n > 0 && (resolver.KindOf(err) != resolver.Temporary || !errors.Is(err, errGone) || took != time.Duration(n)*time.Second):
						t.Errorf("%s: caller %d, who left: %v after %v", tt.reason, i, err, took)
					}
				})
				synctest.Wait() // the first asks, the others join
			}
			all.Wait()
			if got, err := c.MX(t.Context(), "example.net"); err != nil || !reflect.DeepEqual(got, goodMX) {
				t.Errorf("%s: afterwards: %+v, %v", tt.reason, got, err)
			}
			if n := s.asked.Load(); n != tt.asked {
				t.Errorf("%s: asked %d times", tt.reason, n)
			}
		})
	}
}

// A question that nobody waits for any more holds no socket.
func TestCacheGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &far{answer: func([]byte) []byte { return nil }}
		c := s.cache(resolver.CacheOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() { c.MX(ctx, "example.net") })
		}
		synctest.Wait()
		if n := s.open.Load(); n != 1 {
			t.Errorf("%d questions", n)
		}
		cancel()
		all.Wait()
		synctest.Wait()
		if n := s.open.Load(); n != 0 {
			t.Errorf("%d questions of nobody", n)
		}
		if _, err := c.MX(ctx, "example.net"); !errors.Is(err, context.Canceled) || s.asked.Load() != 1 {
			t.Errorf("too late: %v, asked %d times", err, s.asked.Load())
		}
		if got := c.Stats(); got != (resolver.CacheStats{Misses: 1, Shared: 2}) {
			t.Errorf("%+v", got)
		}
	})
}

// After Flush nothing from before it is answered but to who asked before it.
func TestCacheFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := "old"
		s := &far{delay: time.Second}
		s.answer = says(good)
		c := s.cache(resolver.CacheOptions{})
		ask := func(want string) {
			got, err := c.MX(t.Context(), "example.net")
			if err != nil || got.MX[0].Host != want {
				t.Errorf("%+v, %v, want %s", got, err, want)
			}
		}
		var stage atomic.Int64
		s.answer = func(q []byte) []byte {
			return reply(q, nil, fmt.Sprintf("example.net. 60 MX 10 %s%d.example.", host, stage.Add(1)))
		}
		ask("old1.example")
		c.Flush()
		if got := c.Stats(); got != (resolver.CacheStats{Misses: 1}) {
			t.Errorf("%+v", got)
		}
		var all sync.WaitGroup
		all.Go(func() { ask("old2.example") })
		time.Sleep(time.Second / 2)
		c.Flush()
		all.Go(func() { ask("old3.example") })
		all.Wait()
		ask("old3.example")
		if got := c.Stats(); s.asked.Load() != 3 || got.Hits != 1 || got.Shared != 0 || got.Entries != 1 {
			t.Errorf("%+v, asked %d times", got, s.asked.Load())
		}
	})
}

// The least recently used goes first, unless one has expired.
func TestCacheEvicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ttl := 60
		s := &far{}
		s.answer = func(q []byte) []byte {
			var m dns.Msg
			m.Unpack(q)
			return reply(q, nil, fmt.Sprintf("%s %d MX 10 mx.example.", m.Question[0].Name, ttl))
		}
		c := s.cache(resolver.CacheOptions{MaxEntries: 3})
		ask := func(name string, hit bool) {
			t.Helper()
			n := s.asked.Load()
			if _, err := c.MX(t.Context(), name); err != nil || (s.asked.Load() == n) != hit {
				t.Errorf("%s: remembered %v, want %v; %v", name, !hit, hit, err)
			}
		}
		ask("a.example", false)
		ask("b.example", false)
		ask("c.example", false)
		ask("a.example", true)
		ask("d.example", false) // for b
		ask("a.example", true)
		ask("c.example", true)
		ask("d.example", true)
		ask("b.example", false) // for a
		if got := c.Stats(); got.Entries != 3 || got.Evicted != 2 {
			t.Errorf("%+v", got)
		}
		c.Flush()
		ttl = 1
		ask("b.example", false)
		ttl = 60
		ask("a.example", false)
		ask("b.example", true)
		ask("c.example", false)
		time.Sleep(time.Second)
		ask("d.example", false) // for b
		ask("a.example", true)
		ask("c.example", true)
		if got := c.Stats(); got.Entries != 3 || got.Evicted != 2 {
			t.Errorf("%+v", got)
		}
	})
}

func TestCacheBytes(t *testing.T) {
	lines := dnstest.Zone{}
	for i := range 100 {
		for j := range 10 {
			key := fmt.Sprintf("d%d.example. MX", i)
			lines[key] = append(lines[key], fmt.Sprintf("%d a-name-of-some-length-%d.example.", j, j))
		}
	}
	f := lines.Resolver()
	const most = 10000
	c := resolver.NewCache(f.Resolver, resolver.CacheOptions{MaxBytes: most})
	for i := range 100 {
		c.MX(t.Context(), fmt.Sprintf("d%d.example", i))
		if got := c.Stats(); got.Bytes > most {
			t.Fatalf("%+v", got)
		}
	}
	if got := c.Stats(); got.Bytes < most/2 || got.Entries < 2 || int(got.Evicted) != 100-got.Entries {
		t.Errorf("%+v", got)
	}
	c = resolver.NewCache(f.Resolver, resolver.CacheOptions{MaxBytes: 100})
	for range 2 {
		if got, err := c.MX(t.Context(), "d1.example"); err != nil || len(got.MX) != 10 {
			t.Errorf("%+v, %v", got, err)
		}
	}
	if got := c.Stats(); got != (resolver.CacheStats{Misses: 2}) {
		t.Errorf("larger than all room: %+v", got)
	}
}

// motley is a zone of all that can happen, and the names to ask for.
func motley(rnd *rand.Rand) (dnstest.Zone, []string) {
	z, names := dnstest.Zone{}, []string{"nowhere.example", "Host1.Example", "host2.example.", "", "bad..name"}
	for i := range 12 {
		name := fmt.Sprintf("host%d.example", i)
		names = append(names, name)
		if i%3 == 0 {
			z["!secure"] = append(z["!secure"], name+".")
		}
		if rnd.IntN(4) == 0 {
			z[name+". CNAME"] = []string{fmt.Sprintf("host%d.example.", rnd.IntN(14))}
			continue
		}
		for _, typ := range []string{"MX", "A", "AAAA"} {
			mark := []string{"", "", "", "!servfail", "!nodata", "!nxdomain", "!garbage", "!empty", "!tc"}[rnd.IntN(9)]
			if mark != "" {
				z[name+". "+typ] = append(z[name+". "+typ], mark)
			}
			for j := range 1 + rnd.IntN(3) {
				value := map[string]string{"MX": fmt.Sprintf("%d host%d.example.", rnd.IntN(3), rnd.IntN(14)),
					"A": fmt.Sprintf("192.0.2.%d", 10*i+j), "AAAA": fmt.Sprintf("2001:db8::%d", 10*i+j)}[typ]
				z[name+". "+typ] = append(z[name+". "+typ], value)
			}
		}
		z["_25._tcp."+name+". TLSA"] = []string{fmt.Sprintf("3 1 1 %02x", i), "255 1 1 0102"}[:1+rnd.IntN(2)]
	}
	return z, names
}

// ask1 is a look-up of one kind.
func ask1(ctx context.Context, r looker, name string, kind int) (any, error) {
	switch kind {
	case 0:
		return r.MX(ctx, name)
	case 1:
		return r.TLSA(ctx, 25, name)
	case 2:
		return r.CNAMESecure(ctx, name)
	case 3:
		return r.Addrs(ctx, name, true)
	}
	return r.Addrs(ctx, name, false)
}

// same reports whether two failures are alike, but for why.
func same(a, b error) bool {
	var x, y *resolver.Error
	if a == nil || b == nil {
		return a == b
	}
	return errors.As(a, &x) && errors.As(b, &y) &&
		x.Kind == y.Kind && x.Name == y.Name && x.Type == y.Type && x.Secure == y.Secure && (x.Err == nil) == (y.Err == nil)
}

// Through a Cache, small or large, in time or over, at once or in turn, DNS looks
// as it does without.
func TestCacheIsTransparent(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			zone, names := motley(rnd)
			plain := zone.Resolver()
			behind := zone.Resolver()
			o := resolver.CacheOptions{MaxEntries: 1 + rnd.IntN(100), MaxBytes: 1 << (9 + rnd.IntN(10))}
			c := resolver.NewCache(behind.Resolver, o)
			var all sync.WaitGroup
			for worker := range uint64(4) {
				all.Go(func() {
					rnd := rand.New(rand.NewPCG(seed, 1+worker))
					for range 150 {
						name, kind := names[rnd.IntN(len(names))], rnd.IntN(5)
						want, wantErr := ask1(t.Context(), plain, name, kind)
						got, err := ask1(t.Context(), c, name, kind)
						if !reflect.DeepEqual(got, want) || !same(err, wantErr) {
							t.Errorf("seed %d: %q, %d: %+v, %#v, want %+v, %#v", seed, name, kind, got, err, want, wantErr)
						}
						time.Sleep(time.Duration(rnd.Int64N(1 << (rnd.IntN(40)))))
					}
				})
			}
			all.Wait()
			s := c.Stats()
			if s.Entries > o.MaxEntries || s.Bytes > o.MaxBytes || s.Hits+s.Misses+s.Shared > 600 || s.Misses == 0 {
				t.Errorf("seed %d: %+v of %+v", seed, s, o)
			}
		})
	}
}

// Callers who come and go, Flush and Stats at once: for the race detector.
func TestCacheAtOnce(t *testing.T) {
	s := &far{answer: says(good)}
	c := s.cache(resolver.CacheOptions{MaxEntries: 5})
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+worker)%3 == 0 {
					go cancel()
				}
				got, err := c.MX(ctx, "example.net")
				if err == nil && !reflect.DeepEqual(got, goodMX) || err != nil && !errors.Is(err, context.Canceled) {
					t.Errorf("%+v, %v", got, err)
				}
				c.Addrs(ctx, fmt.Sprintf("d%d.example", i%10), false)
				if cancel(); i%10 == 0 {
					c.Flush()
				}
				if n := c.Stats().Entries; n > 5 {
					t.Errorf("%d entries", n)
				}
			}
		})
	}
	all.Wait()
	if got, err := c.MX(t.Context(), "example.net"); err != nil || !reflect.DeepEqual(got, goodMX) {
		t.Errorf("afterwards: %+v, %v", got, err)
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
