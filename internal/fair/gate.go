package fair

import (
	"cmp"
	"container/list"
	"context"
	"slices"
	"sync"
	"time"
)

// Gate is the policy at work. It is for concurrent use.
type Gate struct {
	start time.Time // what all times below count from; monotonic

	mu       sync.Mutex // guards everything below and all that hangs from it
	limits   Limits
	known    map[string]*destination
	idle     idleList // of known, those that hold no slot
	held     int      // running and waiting, of all destinations
	suspects int      // running, of destinations with trouble

	deferAt time.Duration // when mail of a slow destination may next be deferred
}

// New makes a Gate.
func New(l Limits) *Gate {
	return &Gate{start: time.Now(), limits: l.withDefaults(), known: make(map[string]*destination)}
}

// SetLimits puts other limits in force. What runs goes on; who waits is looked
// at again: a greater PerHost lets more of them in at once where the window
// allows it.
func (g *Gate) SetLimits(l Limits) {
	l = l.withDefaults()
	g.mu.Lock()
	defer g.mu.Unlock()
	if l == g.limits {
		return
	}
	g.limits = l
	now := g.now()
	g.forget(now, g.limits.MaxKnown)
	for _, d := range g.known {
		g.pump(d, now)
	}
}

// State tells how things are. Destinations are in the order of their keys.
func (g *Gate) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.forget(g.now(), g.limits.MaxKnown)
	s := State{Slots: g.limits.Slots, Held: g.held, Suspects: g.suspects}
	s.Destinations = make([]Destination, 0, len(g.known))
	for _, d := range g.known {
		v := Destination{Key: d.key, Window: g.window(d), Running: d.running, Waiting: d.line.Len()}
		if d.broken {
			v.BrokenSince, v.BrokenUntil = g.start.Add(d.since), g.start.Add(d.probeAt)
		}
		s.Destinations = append(s.Destinations, v)
	}
	slices.SortFunc(s.Destinations, func(a, b Destination) int { return cmp.Compare(a.Key, b.Key) })
	return s
}

// Enter waits for the delivery's turn, in the order of arrival within key, and
// returns a Pass to be left when the delivery is over. A delivery that has a
// Pass must not Enter again: one slot is one Pass.
//
// Errors: ErrWait, ErrBroken (as *BrokenError), and ctx's own. When ctx ends in
// the moment of the turn, there may be a Pass all the same.
func (g *Gate) Enter(ctx context.Context, key string) (*Pass, error) {
	return g.EnterAs(ctx, key, nil, nil)
}

// EnterAs is Enter for the leader of a party, which may be nil, and which another
// may take along out of the line, see Pass.Follow; offer is what that one is
// shown, and nil is no offer.
func (g *Gate) EnterAs(ctx context.Context, key string, party *Party, offer any) (*Pass, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	g.mu.Lock()
	now := g.now()
	d := g.find(key, now)
	if d.broken || d.line.Len() == 0 && g.room(d, party) {
		p, err := g.admit(d, party, now)
		g.mu.Unlock()
		return p, err
	}
	if g.scarce() && d.stalled(g.limits.soon(), now) {
		g.mu.Unlock()
		return nil, ErrWait
	}
	w := g.queue(d, party, now)
	w.offer = offer
	g.mu.Unlock()
	return g.wait(ctx, w)
}

// Pass is the permission to deliver. It has one owner.
type Pass struct {
	gate  *Gate
	to    *destination
	party *Party
	began time.Duration
	epoch uint32 // the destination's when it was given
	probe bool
	left  bool
	with  any
}

// Leave ends the delivery and says what it has learned. Only the first call
// counts, so that `defer pass.Leave(fair.Unknown)` guards a delivery that may
// panic.
func (p *Pass) Leave(r Result) {
	g, d := p.gate, p.to
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.left {
		return
	}
	p.left = true
	now := g.now()
	d.ended(p.began, now)
	d.running--
	d.load -= p.party.size()
	if d.trouble > 0 {
		g.suspects--
	}
	if p.probe {
		d.probing = false
	}
	g.learn(p, r, now)
	g.pump(d, now)
	g.release(d, p.party, now)
}

// now is cheaper than time.Now, and small to keep.
func (g *Gate) now() time.Duration { return time.Since(g.start) }

// scarce says whether the free slots are fewer than the reserve.
func (g *Gate) scarce() bool { return g.limits.Slots-g.held < g.limits.reserve() }

// window is how many may run to d.
func (g *Gate) window(d *destination) int { return min(d.window, g.limits.perHost()) }

// turns is how many run to d at a time while others wait: fewer than its window
// where parties leave no room.
func (g *Gate) turns(d *destination) int { return min(g.window(d), max(1, d.running)) }

// room says whether one more may run to d.
func (g *Gate) room(d *destination, party *Party) bool {
	return d.running < g.window(d) && (d.running == 0 || d.load+party.size() <= g.limits.most())
}

// admit lets a delivery run whose turn it is, or tells why not.
func (g *Gate) admit(d *destination, party *Party, now time.Duration) (*Pass, error) {
	crowded := d.trouble > 0 && g.suspects >= g.limits.suspects()
	if !d.broken {
		if crowded {
			return nil, ErrWait
		}
		g.hold(d, party)
		return g.run(d, party, now), nil
	}
	// Deliveries from before the circuit opened may run for long. They do not
	// delay the probe, but it comes on top of them, within the limit.
	if crowded || d.probing || now < d.probeAt || d.running >= g.limits.perHost() {
		return nil, g.broken(d)
	}
	g.hold(d, party)
	p := g.run(d, party, now)
	p.probe, d.probing = true, true
	return p, nil
}

// run counts a delivery that begins.
func (g *Gate) run(d *destination, party *Party, now time.Duration) *Pass {
	if d.running++; d.running == 1 {
		d.moved = now
	}
	d.load += party.size()
	party.begin()
	if d.trouble > 0 {
		g.suspects++
	}
	return &Pass{gate: g, to: d, party: party, began: now, epoch: d.epoch}
}

// hold takes the slots of a party for d, release gives them back.
func (g *Gate) hold(d *destination, party *Party) {
	if d.held == 0 {
		g.idle.remove(d)
	}
	party.enter(d)
	d.held += party.size()
	g.held += party.size()
}

func (g *Gate) release(d *destination, party *Party, now time.Duration) {
	d.held -= party.size()
	g.held -= party.size()
	party.leave()
	if d.held == 0 {
		d.idleSince = now
		g.idle.push(d)
	}
}

// waiter is a delivery in line. Its fields are guarded by Gate.mu until done is
// closed, and then they stay.
type waiter struct {
	to    *destination
	party *Party
	place *list.Element // in to.line
	since time.Duration
	look  time.Duration // until it is next looked at
	done  chan struct{}
	pass  *Pass
	err   error
	offer any
	taken bool // by a Follower
}

func (w *waiter) decided() bool { return w.pass != nil || w.err != nil || w.taken }

// queue puts a delivery at the end of d's line.
func (g *Gate) queue(d *destination, party *Party, now time.Duration) *waiter {
	g.hold(d, party)
	w := &waiter{to: d, party: party, since: now, done: make(chan struct{})}
	w.look = min(g.limits.Hold, g.limits.MaxWait)
	w.place = d.line.PushBack(w)
	return w
}

// wait waits until somebody decides about w, ctx ends, or w is told to go.
func (g *Gate) wait(ctx context.Context, w *waiter) (*Pass, error) {
	t := time.NewTimer(w.look)
	defer t.Stop()
	ended := ctx.Done()
	for {
		select {
		case <-w.done:
			return w.pass, w.err
		case <-ended:
			ended = nil
			g.mu.Lock()
			g.dismiss(w, ctx.Err(), g.now())
			g.mu.Unlock()
		case <-t.C:
			g.mu.Lock()
			if w.decided() {
				// Done is about to be closed.
			} else if next := g.patience(w); next > 0 {
				t.Reset(next)
			} else {
				g.dismiss(w, ErrWait, g.now())
			}
			g.mu.Unlock()
		}
	}
}

// dismiss takes w out of its line with an error, unless it has been decided
// about: a Pass given in the same moment is not lost but used.
func (g *Gate) dismiss(w *waiter, why error, now time.Duration) {
	if w.decided() {
		return
	}
	w.to.line.Remove(w.place)
	w.err = why
	close(w.done)
	g.release(w.to, w.party, now)
}

// patience is how long w may wait before it is looked at again; 0: no longer.
func (g *Gate) patience(w *waiter) time.Duration {
	now := g.now()
	left := w.since + g.limits.MaxWait - now
	if left > 0 && g.scarce() && w.to.turn(w, g.turns(w.to), now) > min(left, g.limits.soon()) {
		alive := w.to.trouble == 0 && w.to.lasts > 0 && !w.to.stalled(g.limits.soon(), now)
		if !alive {
			return 0
		}
		if now >= g.deferAt {
			g.deferAt = now + g.limits.pace()
			return 0
		}
	}
	return max(0, min(left, g.limits.Hold))
}

// pump lets those run whose turn it is.
func (g *Gate) pump(d *destination, now time.Duration) {
	for !d.broken && d.line.Len() > 0 && g.room(d, d.line.Front().Value.(*waiter).party) {
		w := d.line.Remove(d.line.Front()).(*waiter)
		w.pass = g.run(d, w.party, now) // its slots are held already
		close(w.done)
	}
}
