package resolver_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

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
