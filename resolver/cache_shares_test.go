package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/miekg/dns"

	"postrider/resolver"
)

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
