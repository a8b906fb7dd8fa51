package fair

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// driver does one thing at a time to a Gate, and after each compares what it
// sees with what must be.
type driver struct {
	t       *testing.T
	rng     *rand.Rand
	g       *Gate
	lines   map[string][]*arrival // who waits, in the order of arrival
	running []*arrival
	windows map[string]Destination // before the step
}

// arrival is a delivery in the driver's hands. Its result is for reading when
// ended.
type arrival struct {
	key    string
	cancel context.CancelFunc
	gone   bool // cancelled
	ended  bool
	pass   *Pass
	err    error
}

// TestAnyOrder: whatever happens in whatever order, no more run than may, turns
// come in the order of arrival, nobody waits who could run, nobody waits for ever,
// and every count is right.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			d := &driver{t: t, rng: rand.New(rand.NewPCG(seed, 0)), lines: make(map[string][]*arrival)}
			d.g = New(d.limits())
			for range 400 {
				d.before()
				d.step()
				synctest.Wait()
				d.after()
			}
			d.finish()
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

func (d *driver) limits() Limits {
	return Limits{
		PerHost: 1 + d.rng.IntN(12), Slots: 1 + d.rng.IntN(60), BreakAfter: 1 + d.rng.IntN(5),
		MaxKnown: 1 + d.rng.IntN(5), Forget: time.Duration(1+d.rng.IntN(3)) * time.Minute,
	}
}

func (d *driver) step() {
	switch n := d.rng.IntN(100); {
	case n < 45:
		d.arrive()
	case n < 75 && len(d.running) > 0:
		i := d.rng.IntN(len(d.running))
		d.running[i].pass.Leave([]Result{Unknown, OK, OK, OK, Neutral, Pushback, Silent, Silent}[d.rng.IntN(8)])
		d.running = slices.Delete(d.running, i, i+1)
	case n < 80:
		for _, line := range d.lines {
			if len(line) > 0 {
				a := line[d.rng.IntN(len(line))]
				a.gone = true
				a.cancel()
				return
			}
		}
	case n < 82:
		d.g.SetLimits(d.limits())
	default:
		time.Sleep(time.Duration(d.rng.IntN(9000)) * time.Millisecond)
	}
}

func (d *driver) arrive() {
	a := &arrival{key: fmt.Sprint(d.rng.IntN(8))}
	ctx, cancel := context.WithCancel(d.t.Context())
	a.cancel = cancel
	d.lines[a.key] = append(d.lines[a.key], a)
	go func() {
		a.pass, a.err = d.g.Enter(ctx, a.key)
		a.ended = true
	}()
}

func (d *driver) before() {
	d.windows = make(map[string]Destination)
	for _, v := range d.g.State().Destinations {
		d.windows[v.Key] = v
	}
}

func (d *driver) after() {
	for key, line := range d.lines {
		d.lines[key] = d.settle(line)
	}
	d.g.mu.Lock()
	defer d.g.mu.Unlock()
	held, suspects, idle := 0, 0, 0
	for key, to := range d.g.known {
		held += to.held
		if to.trouble > 0 {
			suspects += to.running
		}
		if to.held == 0 {
			idle++
		}
		d.destination(key, to)
	}
	if held != d.g.held || suspects != d.g.suspects || d.g.held != len(d.running)+d.waiting() {
		d.t.Errorf("held %d, counted %d; suspects %d, counted %d", d.g.held, held, d.g.suspects, suspects)
	}
	for to := d.g.idle.first; to != nil; to = to.next {
		idle--
		if to.held != 0 || d.g.known[to.key] != to || to.next == nil && d.g.idle.last != to {
			d.t.Errorf("%s: wrongly idle", to.key)
		}
	}
	if idle != 0 {
		d.t.Errorf("%d of the idle are not in the list", idle)
	}
}

// settle takes those out of a line whose Enter has returned.
func (d *driver) settle(line []*arrival) []*arrival {
	var still []*arrival
	for _, a := range line {
		switch {
		case !a.ended:
			if a.gone {
				d.t.Errorf("%s: cancelled, and waits on", a.key)
			}
			still = append(still, a)
		case a.err != nil:
			if a.pass != nil || !errors.Is(a.err, ErrWait) && !errors.Is(a.err, ErrBroken) && !(a.gone && errors.Is(a.err, context.Canceled)) {
				d.t.Errorf("%s: %v, %v", a.key, a.pass, a.err)
			}
		default:
			if len(still) > 0 {
				d.t.Errorf("%s: overtaken", a.key)
			}
			d.running = append(d.running, a)
		}
	}
	return still
}

// destination checks what must be true of one.
func (d *driver) destination(key string, to *destination) {
	was, window := d.windows[key], d.g.window(to)
	if to.running > was.Running {
		may := max(window, was.Window)
		if to.probing {
			may = max(may, d.g.limits.perHost())
		}
		if to.running > may {
			d.t.Errorf("%s: %d run where %d may", key, to.running, may)
		}
	}
	if n := to.line.Len(); n != len(d.lines[key]) || n > 0 && (to.broken || to.running < window) {
		d.t.Errorf("%s: %d wait, not %d; %d of %d run, broken: %v", key, n, len(d.lines[key]), to.running, window, to.broken)
	}
	if window < 1 || to.held != to.running+to.line.Len() {
		d.t.Errorf("%s: %+v", key, to)
	}
}

func (d *driver) waiting() int {
	n := 0
	for _, line := range d.lines {
		n += len(line)
	}
	return n
}

// finish sees to it that everybody who waits is told something in time, though
// nothing else happens.
func (d *driver) finish() {
	time.Sleep(100 * time.Second)
	synctest.Wait()
	d.before()
	d.after()
	if n := d.waiting(); n > 0 {
		d.t.Errorf("%d wait on", n)
	}
	for _, a := range d.running {
		a.pass.Leave(Unknown)
	}
	if s := d.g.State(); s.Held != 0 || s.Suspects != 0 {
		d.t.Errorf("left behind: %+v", s)
	}
}
