package fair

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// job is one recipient in the queue of a simulated qmail-send.
type job struct {
	key string
	run time.Duration // of the delivery, once it is its turn
	end Result
}

// tally is what became of the jobs of one key.
type tally struct {
	mu            sync.Mutex
	done          map[Result]int // by how they ended
	busy, broken  int            // deferred for ErrWait, for ErrBroken
	running, most int            // at once
	last          time.Duration  // when the last of them got its result
	slowest       time.Duration  // from being offered to the end of its delivery, at most
}

// send is qmail-send and qmail-rspawn: it offers the jobs in their order, a
// millisecond each, as long as there is a free slot, and waits otherwise.
// Nothing is tried twice.
func send(g *Gate, slots int, jobs []job) map[string]*tally {
	began := time.Now()
	tallies := make(map[string]*tally)
	taken := make(chan struct{}, slots)
	for _, j := range jobs {
		c := tallies[j.key]
		if c == nil {
			c = &tally{done: make(map[Result]int)}
			tallies[j.key] = c
		}
		taken <- struct{}{}
		go func() {
			c.deliver(g, j)
			c.mu.Lock()
			c.last = time.Since(began)
			c.mu.Unlock()
			<-taken
		}()
		time.Sleep(time.Millisecond)
	}
	for range slots {
		taken <- struct{}{}
	}
	return tallies
}

// deliver carries out j and counts it.
func (c *tally) deliver(g *Gate, j job) {
	offered := time.Now()
	p, err := g.Enter(context.Background(), j.key)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, ErrWait):
		c.busy++
		return
	case errors.Is(err, ErrBroken):
		c.broken++
		return
	}
	c.running++
	c.most = max(c.most, c.running)
	c.mu.Unlock()
	time.Sleep(j.run)
	c.mu.Lock()
	c.running--
	c.done[j.end]++
	c.slowest = max(c.slowest, time.Since(offered))
	p.Leave(j.end)
}

// of makes n equal jobs.
func of(n int, j job) []job {
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = j
	}
	return jobs
}

// mixed shuffles one job of b in after every n of a.
func mixed(a []job, n int, b []job) []job {
	var all []job
	for len(a) > 0 || len(b) > 0 {
		k := min(n, len(a))
		all, a = append(all, a[:k]...), a[k:]
		if len(b) > 0 {
			all, b = append(all, b[0]), b[1:]
		}
	}
	return all
}

// healthy makes n jobs for as many destinations, of a second each.
func healthy(n int) []job {
	var jobs []job
	for i := range n {
		jobs = append(jobs, job{fmt.Sprint("well", i), time.Second, OK})
	}
	return jobs
}

// others sums up what became of the healthy ones.
func others(tallies map[string]*tally) (done, deferred int, last time.Duration) {
	for key, c := range tallies {
		if strings.HasPrefix(key, "well") {
			done += c.done[OK]
			deferred += c.busy + c.broken
			last = max(last, c.last)
		}
	}
	return done, deferred, last
}

// TestOthersGoOn: whatever one destination does, mail for others is delivered,
// none of it deferred, and not much later than without.
func TestOthersGoOn(t *testing.T) {
	hung := job{"x", time.Minute, Silent}
	cases := []struct {
		reason      string
		slots       int
		jobs        []job
		alone       int           // healthy among jobs
		delay       time.Duration // of the last healthy one, at most
		connections int           // to x, in all, at most
		most        int           // to x, at once
	}{
		{"C86: 254 hang ahead of all", 255, append(of(254, hung), healthy(5000)...), 5000, 6 * time.Second, 6, 5},
		{"they hang for ever", 255, append(of(254, job{"x", time.Hour, Silent}), healthy(5000)...), 5000, 6 * time.Second, 5, 5},
		{"every other one hangs", 255, mixed(of(2000, hung), 1, healthy(2000)), 2000, 30 * time.Second, 7, 5},
		{"C86: 100k to a dead exchanger", 255, mixed(of(100000, hung), 100, healthy(1000)), 1000, 150 * time.Second, 8, 5},
		{"100k to one that refuses connections", 255, mixed(of(100000, job{"x", 0, Silent}), 100, healthy(1000)), 1000, 100 * time.Second, 8, 1},
		{"slow, but alive", 255, mixed(of(1000, job{"x", 30 * time.Second, OK}), 1, healthy(1000)), 1000, 20 * time.Second, 100, 20},
		{"pushing back", 255, mixed(of(1000, job{"x", time.Second, Pushback}), 1, healthy(1000)), 1000, 5 * time.Second, 12, 5},
		{"few slots", 20, append(of(100, hung), healthy(200)...), 200, 30 * time.Second, 7, 5},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, _, alone := others(send(New(Limits{Slots: c.slots}), c.slots, healthy(c.alone)))
				tallies := send(New(Limits{Slots: c.slots}), c.slots, c.jobs)
				done, deferred, last := others(tallies)
				if done != c.alone || deferred != 0 || last > alone+c.delay {
					t.Errorf("others: %d done, %d deferred, the last after %v instead of %v", done, deferred, last, alone)
				}
				x, n := tallies["x"], 0
				for _, k := range x.done {
					n += k
				}
				if n > c.connections || x.most > c.most {
					t.Errorf("%d connections, %d at once: %v", n, x.most, x.done)
				}
			})
		})
	}
}

// TestNotDeferredInVain: a destination that does its work gets its mail.
func TestNotDeferredInVain(t *testing.T) {
	cases := []struct {
		reason string
		slots  int
		jobs   []job
	}{
		{"20 recipients", 255, of(20, job{"x", 3 * time.Second, OK})},
		{"20 recipients of few slots", 20, of(20, job{"x", 3 * time.Second, OK})},
		{"200 recipients", 255, of(200, job{"x", 3 * time.Second, OK})},
		{"10000 recipients", 255, of(10000, job{"x", 2 * time.Second, OK})},
		{"1000 recipients of few slots", 20, of(1000, job{"x", 3 * time.Second, OK})},
		{"the spare slots of a busy host", 255, append(of(100, job{"y", 30 * time.Second, OK}), of(100, job{"x", 2 * time.Second, OK})...)},
		{"recipients that it refuses", 255, of(150, job{"x", time.Second, Neutral})},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := send(New(Limits{Slots: c.slots}), c.slots, c.jobs)["x"]
				if x.busy+x.broken != 0 {
					t.Errorf("%d deferred, %d for an open circuit", x.busy, x.broken)
				}
			})
		})
	}
}

// TestWithinQueueLifetime: a message to 10000 recipients of a slow destination
// is through long before qmail-send gives up after a week, although every pass
// over its recipients defers most of them.
func TestWithinQueueLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		birth, left := time.Now(), 10000
		for n := time.Duration(0); left > 0; n++ {
			time.Sleep(time.Until(birth.Add(n * n * 400 * time.Second)))
			left -= send(g, 255, of(left, job{"x", 30 * time.Second, OK}))["x"].done[OK]
		}
		if took := time.Since(birth); took > 72*time.Hour {
			t.Errorf("took %v", took)
		}
	})
}

// TestManyDead: destinations that were dead before take half of the slots at
// most when their mail comes again.
func TestManyDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		var dead []job
		for i := range 500 {
			dead = append(dead, job{fmt.Sprint("dead", i), 5 * time.Minute, Silent})
		}
		send(g, 255, dead)
		tallies := send(g, 255, append(dead, healthy(2000)...))
		if done, deferred, last := others(tallies); done != 2000 || deferred != 0 || last > 20*time.Second {
			t.Errorf("others: %d done, %d deferred, the last after %v", done, deferred, last)
		}
	})
}
