package fair

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestCircuit: five silences open it; one probe at a time then, at intervals
// that double up to their bound; an answer closes it.
func TestCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		for range 5 {
			enter(t, g, "a").Leave(Silent)
		}
		opened := time.Now()
		for _, interval := range []time.Duration{30, 60, 120, 240, 300, 300} {
			interval *= time.Second
			var broken *BrokenError
			_, err := g.Enter(t.Context(), "a")
			if !errors.As(err, &broken) || !broken.Since.Equal(opened) || time.Until(broken.Until) != interval {
				t.Fatalf("interval %v: %v, %+v", interval, err, broken)
			}
			time.Sleep(interval - 1)
			if _, err := g.Enter(t.Context(), "a"); !errors.Is(err, ErrBroken) {
				t.Fatalf("a probe before its time: %v", err)
			}
			time.Sleep(time.Nanosecond)
			probe := enter(t, g, "a")
			if _, err := g.Enter(t.Context(), "a"); !errors.Is(err, ErrBroken) {
				t.Fatalf("a second probe: %v", err)
			}
			probe.Leave(Silent)
		}
		time.Sleep(300 * time.Second)
		enter(t, g, "a").Leave(Unknown)
		enter(t, g, "a").Leave(OK)
		if d := see(t, g, "a"); d.Window != 2 || !d.BrokenSince.IsZero() || !d.BrokenUntil.IsZero() {
			t.Errorf("not closed: %+v", d)
		}
	})
}

func TestCircuitOpens(t *testing.T) {
	cases := []struct {
		reason  string
		results []Result
		open    bool
	}{
		{"four", []Result{Silent, Silent, Silent, Silent}, false},
		{"five", []Result{Silent, Silent, Silent, Silent, Silent}, true},
		{"an acceptance between", []Result{Silent, Silent, Silent, Silent, OK, Silent}, false},
		{"a refusal between", []Result{Silent, Silent, Silent, Silent, Neutral, Silent}, false},
		{"something of ours between", []Result{Silent, Silent, Silent, Silent, Unknown, Silent}, true},
		{"nine push-backs", slices.Repeat([]Result{Pushback}, 9), false},
		{"ten push-backs", slices.Repeat([]Result{Pushback}, 10), true},
		{"both", []Result{Pushback, Silent, Pushback, Silent, Silent, Silent}, true},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			g := New(Limits{})
			for _, r := range c.results {
				enter(t, g, "a").Leave(r)
			}
			if _, err := g.Enter(t.Context(), "a"); errors.Is(err, ErrBroken) != c.open {
				t.Errorf("%v, want open: %v", err, c.open)
			}
		})
	}
}

// TestCircuitOfMany: when many run, some that are cut off together open nothing;
// and those that run on when it has opened do not hinder the probe.
func TestCircuitOfMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, running := grown(t)
		for _, p := range running[:19] {
			p.Leave(Silent)
		}
		if d := see(t, g, "a"); !d.BrokenSince.IsZero() {
			t.Fatalf("19 of 20: %+v", d)
		}
		again := enter(t, g, "b") // unconcerned
		again.Leave(OK)
		var more []*Pass
		for see(t, g, "a").Running < see(t, g, "a").Window {
			more = append(more, enter(t, g, "a"))
		}
		more[0].Leave(Silent)
		if _, err := g.Enter(t.Context(), "a"); !errors.Is(err, ErrBroken) {
			t.Fatalf("20 silent: %v", err)
		}
		time.Sleep(30 * time.Second)
		probe := enter(t, g, "a")
		running[19].Leave(OK) // from before: the host lives
		if d := see(t, g, "a"); !d.BrokenSince.IsZero() || d.Window != 1 {
			t.Errorf("%+v", d)
		}
		probe.Leave(OK)
	})
}

// TestLateSilence: what began before the circuit opened does not put off the probe.
func TestLateSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{BreakAfter: 1})
		var began []*Pass
		for range 5 {
			began = append(began, enter(t, g, "a"))
		}
		for i, p := range began { // enough, once all five are silent
			p.Leave(Silent)
			if i == 3 {
				began = append(began, enter(t, g, "a")) // the window is 2
			}
		}
		opened := see(t, g, "a").BrokenUntil
		began[5].Leave(Silent)
		if until := see(t, g, "a").BrokenUntil; opened.IsZero() || !until.Equal(opened) || time.Until(until) != 30*time.Second {
			t.Errorf("probe after %v", time.Until(until))
		}
	})
}

// TestTurn: an estimate goes by what deliveries took, until that has passed
// without one that ended.
func TestTurn(t *testing.T) {
	const s = time.Second
	cases := []struct {
		reason      string
		lasts, idle time.Duration // idle: since the last one ended
		turn        time.Duration // of the tenth in line, four at a time
		stalled     bool          // 30 s being long
	}{
		{"just moved", 8 * s, 0, 20 * s, false},
		{"moved some time ago", 8 * s, 8 * s, 20 * s, false},
		{"slower than usual", 8 * s, 16 * s, 40 * s, false},
		{"nothing known", 0, 2 * s, 5 * s, false},
		{"stands still", 8 * s, 31 * s, 77*s + s/2, true},
		{"is always as slow as that", 40 * s, 31 * s, 100 * s, false},
		{"stands still for longer than that", 40 * s, 41 * s, 102*s + s/2, true},
	}
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			d := &destination{running: 4, lasts: c.lasts, moved: 1000 * s}
			w := &waiter{to: d}
			for range 9 {
				d.line.PushBack(&waiter{})
			}
			w.place = d.line.PushBack(w)
			now := d.moved + c.idle
			if got := d.turn(w, 4, now); got != c.turn {
				t.Errorf("turn in %v, want %v", got, c.turn)
			}
			if got := d.stalled(30*s, now); got != c.stalled {
				t.Errorf("stalled: %v", got)
			}
		})
	}
}

// TestCrowdOfSuspects: many destinations in trouble do not take every slot.
func TestCrowdOfSuspects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Slots: 20})
		key := func(i int) string { return string(rune('a' + i)) }
		for i := range 15 {
			for range []int{1, 5}[i%2] { // some in trouble, some broken
				enter(t, g, key(i)).Leave(Silent)
			}
		}
		time.Sleep(time.Minute)
		var running []*Pass
		for i := range 15 {
			p, err := g.Enter(t.Context(), key(i))
			switch want := []error{ErrWait, ErrBroken}[i%2]; {
			case i < 10 && err != nil, i >= 10 && !errors.Is(err, want):
				t.Errorf("%d: %v", i, err)
			case err == nil:
				running = append(running, p)
			}
		}
		enter(t, g, "well").Leave(OK)
		for _, p := range running {
			p.Leave(OK)
		}
		if s := g.State(); s.Suspects != 0 || s.Held != 0 {
			t.Errorf("%+v", s)
		}
	})
}
