package fair

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// see returns what State says of key.
func see(t *testing.T, g *Gate, key string) Destination {
	t.Helper()
	for _, d := range g.State().Destinations {
		if d.Key == key {
			return d
		}
	}
	t.Fatalf("%s: not known", key)
	return Destination{}
}

// enter enters where there is no line.
func enter(t *testing.T, g *Gate, key string) *Pass {
	t.Helper()
	began := time.Now()
	p, err := g.Enter(t.Context(), key)
	if err != nil || time.Since(began) > 3*time.Second { // some tests run in real time
		t.Fatalf("Enter: %v after %v", err, time.Since(began))
	}
	return p
}

// outcome is how an Enter ended.
type outcome struct {
	who   int
	pass  *Pass
	err   error
	after time.Duration
}

// crowd has n deliveries come to key, one after the other, and returns where
// they tell how it ended.
func crowd(ctx context.Context, g *Gate, key string, n int) chan outcome {
	ended := make(chan outcome, n)
	began := time.Now()
	for who := range n {
		go func() {
			p, err := g.Enter(ctx, key)
			ended <- outcome{who, p, err, time.Since(began)}
		}()
		synctest.Wait()
	}
	return ended
}

func TestWindow(t *testing.T) {
	repeat := func(r Result, n int) []Result { return slices.Repeat([]Result{r}, n) }
	cases := []struct {
		reason  string
		results []Result // of deliveries one after the other
		want    int
	}{
		{"a new destination", nil, 5},
		{"one more per OK", repeat(OK, 3), 8},
		{"up to PerHost", repeat(OK, 100), 20},
		{"refusals teach nothing of the host's capacity", repeat(Neutral, 10), 5},
		{"nor does what is ours", repeat(Unknown, 10), 5},
		{"a push-back halves", append(repeat(OK, 15), Pushback), 10},
		{"so does silence", append(repeat(OK, 15), Silent), 10},
		{"never below one", repeat(Pushback, 8), 1},
		{"after a push-back it takes a window of OKs", append([]Result{Pushback}, repeat(OK, 5)...), 4}, // 2+3
		{"not quite", append([]Result{Pushback}, repeat(OK, 4)...), 3},
		{"after silence it is as if there had been no push-back", []Result{Pushback, Silent, OK, OK, OK}, 4},
		{"after silence one OK is enough", append([]Result{Silent}, repeat(OK, 5)...), 7},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			g := New(Limits{})
			enter(t, g, "a").Leave(Unknown)
			for _, r := range c.results {
				enter(t, g, "a").Leave(r)
			}
			if got := see(t, g, "a").Window; got != c.want {
				t.Errorf("window %d, want %d", got, c.want)
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	got := Limits{PerHost: -1, Slots: 120, Hold: time.Second}.withDefaults()
	want := Limits{20, 120, 5, 5, 100 * time.Second, time.Second, 30 * time.Second, 300 * time.Second, time.Hour, 12 * time.Hour, 10000}
	if got != want {
		t.Errorf("got %+v", got)
	}
}

// TestReserve: however few slots there are, one destination leaves some.
func TestReserve(t *testing.T) {
	for _, c := range []struct{ slots, reserve, perHost int }{
		{1, 0, 1}, {2, 0, 2}, {4, 1, 3}, {10, 2, 8}, {20, 5, 15}, {24, 5, 19}, {120, 15, 20}, {255, 31, 20},
	} {
		l := Limits{Slots: c.slots}.withDefaults()
		if l.reserve() != c.reserve || l.perHost() != c.perHost {
			t.Errorf("%d slots: reserve %d, per host %d; want %d, %d", c.slots, l.reserve(), l.perHost(), c.reserve, c.perHost)
		}
	}
}

// grown is a gate of which "a" has 20 slots, and the deliveries that have them.
func grown(t *testing.T) (g *Gate, running []*Pass) {
	t.Helper()
	g = New(Limits{})
	for range 15 {
		enter(t, g, "a").Leave(OK)
	}
	for range 20 {
		running = append(running, enter(t, g, "a"))
	}
	return g, running
}

// TestOneEvent: deliveries that began before the window was halved do not halve
// it again, nor widen it.
func TestOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, running := grown(t)
		for i, p := range running {
			p.Leave([]Result{Pushback, OK}[i%2])
		}
		if got := see(t, g, "a").Window; got != 10 {
			t.Errorf("window %d, want 10", got)
		}
	})
}

func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		ended := crowd(t.Context(), g, "a", 30)
		for who := range 30 { // a Neutral lets one in, for the window stays
			o := <-ended
			if o.who != who || o.err != nil {
				t.Fatalf("%d ended as %d: %v", who, o.who, o.err)
			}
			o.pass.Leave(Neutral)
			synctest.Wait()
		}
		if s := g.State(); s.Held != 0 {
			t.Errorf("%d slots held", s.Held)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	cases := []struct {
		reason string
		do     func(g *Gate, ahead *Pass, cancel context.CancelFunc)
		after  time.Duration
		err    error
	}{
		{"nothing happens", func(*Gate, *Pass, context.CancelFunc) {}, 100 * time.Second, ErrWait},
		{"the delivery is given up", func(_ *Gate, _ *Pass, cancel context.CancelFunc) { cancel() }, 0, context.Canceled},
		{"the destination is dead", func(_ *Gate, ahead *Pass, _ context.CancelFunc) { ahead.Leave(Silent) }, 0, ErrBroken},
		{"more is allowed", func(g *Gate, _ *Pass, _ context.CancelFunc) { g.SetLimits(Limits{}) }, 0, nil},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := New(Limits{PerHost: 1, BreakAfter: 1})
				ahead := enter(t, g, "a")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				ended := crowd(ctx, g, "a", 1)
				c.do(g, ahead, cancel)
				o := <-ended
				if !errors.Is(o.err, c.err) || o.after != c.after || (o.pass != nil) != (c.err == nil) {
					t.Errorf("%v after %v, want %v after %v", o.err, o.after, c.err, c.after)
				}
				o.leave(OK)
				ahead.Leave(Unknown)
				if s := g.State(); s.Held != 0 || s.Suspects != 0 {
					t.Errorf("left behind: %+v", s)
				}
			})
		})
	}
}

func (o outcome) leave(r Result) {
	if o.pass != nil {
		o.pass.Leave(r)
	}
}

// TestGivenUpEarly: a context that has ended enters nothing.
func TestGivenUpEarly(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	g := New(Limits{})
	if p, err := g.Enter(ctx, "a"); p != nil || !errors.Is(err, context.Canceled) || len(g.State().Destinations) != 0 {
		t.Errorf("%v, %v, %+v", p, err, g.State())
	}
}

func TestLeaveTwice(t *testing.T) {
	g := New(Limits{})
	a, b := enter(t, g, "a"), enter(t, g, "a")
	a.Leave(OK)
	a.Leave(Silent)
	if d := see(t, g, "a"); d.Running != 1 || d.Window != 6 {
		t.Errorf("%+v", d)
	}
	b.Leave(OK)
}

func TestForget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{MaxKnown: 3})
		held := enter(t, g, "held")
		for _, key := range []string{"a", "b", "c", "d"} {
			enter(t, g, key).Leave(OK)
			time.Sleep(time.Second)
		}
		if len(g.known) != 3 || g.known["held"] == nil || g.known["c"] == nil || g.known["d"] == nil {
			t.Fatalf("known: %v", g.State())
		}
		enter(t, g, "c").Leave(OK) // now d is idle for longest
		enter(t, g, "e").Leave(OK)
		if g.known["d"] != nil || g.known["c"] == nil {
			t.Fatalf("known: %v", g.State())
		}
		time.Sleep(12 * time.Hour)
		if see(t, g, "c").Window != 7 {
			t.Error("c forgotten too early")
		}
		time.Sleep(time.Nanosecond)
		if s := g.State(); len(s.Destinations) != 1 {
			t.Errorf("known: %v", s)
		}
		held.Leave(OK)
	})
}

// TestRenew: after an hour a window says nothing any more; trouble does.
func TestRenew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		for range 9 {
			enter(t, g, "pushing").Leave(Pushback)
		}
		for range 5 {
			enter(t, g, "dead").Leave(Silent)
		}
		time.Sleep(time.Hour)
		enter(t, g, "pushing").Leave(Unknown)
		if d := see(t, g, "pushing"); d.Window != 1 {
			t.Errorf("too early: %+v", d)
		}
		time.Sleep(time.Hour + time.Nanosecond)
		enter(t, g, "pushing").Leave(Unknown)
		if d := see(t, g, "pushing"); d.Window != 5 {
			t.Errorf("%+v", d)
		}
		enter(t, g, "pushing").Leave(Pushback)
		if _, err := g.Enter(t.Context(), "pushing"); !errors.Is(err, ErrBroken) {
			t.Errorf("the tenth: %v", err)
		}
		enter(t, g, "dead").Leave(OK) // the probe
		if d := see(t, g, "dead"); d.Window != 2 {
			t.Errorf("%+v", d)
		}
	})
}

// TestLower: with a lower limit, what runs runs on, and nothing begins until
// it is fewer.
func TestLower(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		var running []*Pass
		for range 5 {
			running = append(running, enter(t, g, "a"))
		}
		ended := crowd(t.Context(), g, "a", 1)
		g.SetLimits(Limits{PerHost: 2})
		for _, p := range running[:3] {
			p.Leave(OK)
		}
		synctest.Wait()
		if d := see(t, g, "a"); d.Window != 2 || d.Running != 2 || d.Waiting != 1 {
			t.Errorf("%+v", d)
		}
		running[3].Leave(OK)
		(<-ended).leave(OK)
		running[4].Leave(OK)
	})
}

func TestStrings(t *testing.T) {
	for r, want := range map[Result]string{Unknown: "unknown", OK: "ok", Neutral: "neutral", Pushback: "pushback", Silent: "silent", 9: "Result(9)"} {
		if r.String() != want {
			t.Errorf("%d: %s", r, r)
		}
	}
	e := &BrokenError{Since: time.Unix(1e9, 0)}
	if e.Error() != "fair: destination does not answer since 2001-09-09T01:46:40Z" || !errors.Is(e, ErrBroken) {
		t.Error(e)
	}
}

func BenchmarkEnterLeave(b *testing.B) {
	g := New(Limits{})
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		p, err := g.Enter(ctx, "mx.example.net")
		if err != nil {
			b.Fatal(err)
		}
		p.Leave(OK)
	}
}
