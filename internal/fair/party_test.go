package fair

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// joined is a party of so many, not yet entered.
func joined(t *testing.T, g *Gate, size int) *Party {
	t.Helper()
	p := g.NewParty()
	for range size - 1 {
		if !p.Join() {
			t.Fatal("no room before the leader has entered")
		}
	}
	return p
}

// TestParty: who goes along holds a slot; what runs to one destination leaves the
// reserve free; what waits gives all of its slots up.
func TestParty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{Slots: 40}) // of which five are the reserve
		first := joined(t, g, 30)
		one, err := g.EnterAs(t.Context(), "a", first, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			if !first.Join() {
				t.Error("no room for another")
			}
		}
		if first.Join() {
			t.Error("joined what has all but the reserve")
		}
		wants := func(held, running, waiting int) {
			t.Helper()
			if s, d := g.State(), see(t, g, "a"); s.Held != held || d.Running != running || d.Waiting != waiting {
				t.Errorf("%d slots held, %+v", s.Held, d)
			}
		}
		wants(35, 1, 0)
		second, began := joined(t, g, 2), time.Now()
		ended := make(chan outcome, 1)
		enter := func(p *Party) {
			pass, err := g.EnterAs(t.Context(), "a", p, nil)
			ended <- outcome{0, pass, err, time.Since(began)}
		}
		go enter(second)
		synctest.Wait()
		for range 3 {
			if !second.Join() {
				t.Error("no room in what waits")
			}
		}
		wants(40, 1, 1)
		if o := <-ended; !errors.Is(o.err, ErrWait) || o.after != 36*time.Second {
			t.Errorf("%+v", o)
		}
		wants(35, 1, 0)
		second.Join() // too late: its leader has been told
		wants(35, 1, 0)
		go enter(joined(t, g, 5))
		synctest.Wait()
		wants(40, 1, 1)
		one.Leave(OK)
		o := <-ended
		if o.err != nil {
			t.Fatal(o.err)
		}
		wants(5, 1, 0)
		o.pass.Leave(OK)
		if s := g.State(); s.Held != 0 {
			t.Errorf("%d slots held in the end", s.Held)
		}
		alone, err := g.EnterAs(t.Context(), "a", joined(t, g, 40), nil)
		if err != nil {
			t.Fatal(err)
		}
		wants(40, 1, 0)
		alone.Leave(Silent)
		wants(0, 0, 0)
	})
}
