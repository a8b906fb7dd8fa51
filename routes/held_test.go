package routes

import (
	"strings"
	"testing"
	"time"
)

// TestHeld: what is held does not change with the file, unless it is too large.
func TestHeld(t *testing.T) {
	dir := install(t, "a:r1\n")
	small := OpenSMTP(paths(dir)).Hold()
	replace(t, dir, "a:r2\n"+strings.Repeat("#\n", maxHeld/2), time.Now())
	large := OpenSMTP(paths(dir)).Hold()
	for relay, h := range map[string]*Held{"r1": small, "r2": large} {
		if r, ok, err := h.Lookup("A"); r.Relay != relay || !ok || err != nil {
			t.Errorf("%+v, %v, %v, want %s", r, ok, err, relay)
		}
	}
}
