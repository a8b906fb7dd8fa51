package resolver_test

import (
	"fmt"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

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
