package engine

import (
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// tidyAfter is how long after a delivery began or ended memory is looked at,
	// and how often then.
	tidyAfter = time.Second
	// busy is how much is allocated between two looks, in bytes, when nothing is
	// tidied: the collector comes often enough by itself, and time is scarce.
	busy = 8 << 20
	// litter is what must have been allocated since memory was last freed to be
	// worth it while deliveries come and go; stillLitter, when no more than still
	// is allocated between two looks.
	litter, stillLitter, still = 4 << 20, 256 << 10, 64 << 10
	// tidyShare bounds the time that tidying takes: one part of so many. But
	// after tidyAgain memory is looked at again in any case.
	tidyShare = 100
	tidyAgain = 5 * time.Second
)

// tidy has garbage collected and memory given back to the system when the engine
// has become quiet. The collector itself comes only when so much has been
// allocated that twice as much is garbage as is not, and a burst of deliveries
// to servers that take minutes to answer would hold all of that for as long.
type tidy struct {
	allocated func() uint64 // bytes since the process began
	free      func()        // collects, and gives back
	awake     atomic.Bool   // a look is due
	stirred   atomic.Bool   // since the last look

	mu          sync.Mutex  // guards what follows, and is held while looking
	timer       *time.Timer // nil before the first stir
	seen, freed uint64      // allocated at the last look, and when memory was last freed
	closed      bool
}

// stir notes that a delivery begins or ends.
func (t *tidy) stir() {
	t.stirred.Store(true)
	if !t.awake.Load() && t.awake.CompareAndSwap(false, true) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.again(tidyAfter)
	}
}

// again has look called; mu is held.
func (t *tidy) again(after time.Duration) {
	switch {
	case t.closed:
	case t.timer == nil:
		t.timer = time.AfterFunc(after, t.look)
	default:
		t.timer.Reset(after)
	}
}

func (t *tidy) look() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	stirred := t.stirred.Swap(false)
	now := t.allocated()
	grown, rubbish := now-t.seen, now-t.freed
	t.seen = now
	calm := grown <= still
	switch {
	case grown <= busy && rubbish >= litter, calm && rubbish >= stillLitter:
		begun := time.Now()
		if calm {
			t.free() // what a sync.Pool keeps goes only the second time
		}
		t.free()
		t.freed = now
		t.again(max(tidyAfter, min(tidyAgain, tidyShare*time.Since(begun))))
	case calm && !stirred && t.sleep():
	default:
		t.again(tidyAfter)
	}
}

// sleep ends the looks until somebody stirs, if nobody does just now.
func (t *tidy) sleep() bool {
	t.awake.Store(false)
	return !t.stirred.Load() || !t.awake.CompareAndSwap(false, true)
}

// close ends it, and waits for a look under way.
func (t *tidy) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
}

// allocated is what the process has allocated so far, in bytes.
func allocated() uint64 {
	s := [1]metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s[:])
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0 // then nothing is ever litter
	}
	return s[0].Value.Uint64()
}
