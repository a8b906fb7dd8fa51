package engine

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestTidy: memory is freed once the engine has become quiet, not while it is busy,
// not for nothing, and never so often that it would cost time worth a word.
func TestTidy(t *testing.T) {
	for _, c := range []struct {
		reason  string
		litters uint64        // a second, in ten pieces
		stirs   bool          // a delivery begins or ends with each piece, not with the first alone
		busyFor time.Duration // then nothing happens
		takes   time.Duration
		freed   int // while it is busy
		still   int // and in the hour after that: twice where nothing moves any more
	}{
		{"busy", busy * 2, true, time.Minute, 0, 0, 2},
		{"a burst", 10 << 20, true, 900 * time.Millisecond, 0, 0, 2},
		{"a burst, and what follows from it", 10 << 20, false, time.Minute, 0, 0, 2},
		{"slow, but for long", litter / 5, true, time.Minute, 0, 10, 1},
		{"slow, and collecting takes long", litter, true, time.Minute, 20 * time.Millisecond, 25, 2},
		{"nothing to collect", 100, true, time.Minute, 0, 0, 0},
		{"nothing", 0, false, time.Minute, 0, 0, 0},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var sum atomic.Uint64
				var freed atomic.Int32
				y := &tidy{allocated: sum.Load, free: func() { freed.Add(1); time.Sleep(c.takes) }}
				for i, begun := 0, time.Now(); time.Since(begun) < c.busyFor; i++ {
					time.Sleep(99 * time.Millisecond) // in no step with looks
					if c.stirs || i == 0 {
						y.stir()
					}
					sum.Add(c.litters / 10)
				}
				synctest.Wait()
				during := int(freed.Load())
				time.Sleep(time.Hour)
				synctest.Wait()
				still := int(freed.Load()) - during
				if during != c.freed || still != c.still {
					t.Errorf("freed %d times, and then %d; want %d and %d", during, still, c.freed, c.still)
				}
				y.stir()
				sum.Add(1 << 30)
				y.close()
				y.stir()
				time.Sleep(time.Hour)
				if int(freed.Load()) != during+still {
					t.Error("freed after close")
				}
			})
		})
	}
	if a := allocated(); a == 0 || allocated() < a {
		t.Error("nobody knows how much is allocated")
	}
}
