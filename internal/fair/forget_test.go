package fair

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestForgotten: who comes back within Forget meets the circuit that is open,
// also if nobody else came by meanwhile; a moment later nothing is known.
func TestForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(Limits{})
		for range 5 {
			enter(t, g, "dead").Leave(Silent)
		}
		if _, err := g.Enter(t.Context(), "dead"); !errors.Is(err, ErrBroken) {
			t.Fatal(err)
		}
		time.Sleep(12 * time.Hour)
		enter(t, g, "dead").Leave(Unknown) // the probe, which learns nothing
		if d := g.known["dead"]; !d.broken {
			t.Error("forgotten too early")
		}
		time.Sleep(12*time.Hour + time.Nanosecond)
		p := enter(t, g, "dead")
		if d := g.known["dead"]; d.broken || d.window != g.limits.Initial {
			t.Errorf("remembered: %+v", d)
		}
		p.Leave(OK)
	})
}
