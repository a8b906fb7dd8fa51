package resolver_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

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
