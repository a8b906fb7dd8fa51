package fair

import (
	"container/list"
	"time"
)

// destination is what is known about a key. Its Gate's mutex guards it; times
// count from the Gate's start.
//
// Nobody waits while fewer than window run, and nobody waits while the circuit
// is open.
type destination struct {
	key     string
	held    int // slots: running, waiting, and one that is just leaving
	running int
	load    int       // slots of those that run, with all of their parties
	line    list.List // of *waiter, in the order of arrival

	window int    // how many may run; Limits.PerHost bounds it again
	calm   int    // the window after the last Pushback, from where it widens slowly; 0 without one
	credit int    // OKs towards the next widening, from calm on
	epoch  uint32 // counts halvings: older deliveries tell of a window that is no more

	moved time.Duration // when a delivery last ended, or began where none ran
	lasts time.Duration // what a delivery takes, averaged over some eight; 0 before the first

	trouble int // since the last OK or Neutral: 2 per Silent, 1 per Pushback
	enough  int // trouble that opens the circuit
	broken  bool
	probing bool          // a probe is under way
	since   time.Duration // when the circuit opened
	probeAt time.Duration // when the next probe may go
	backoff time.Duration // how long it was or is until probeAt

	idleSince  time.Duration
	prev, next *destination // in Gate.idle
}

const (
	silence  = 2 // trouble of a Silent
	pushback = 1 // trouble of a Pushback: a host that speaks is not dead, but it needs rest as well
)

// ended notes that a delivery has ended, which began at began.
func (d *destination) ended(began, now time.Duration) {
	d.moved = now
	took := now - began
	if d.lasts == 0 {
		d.lasts = took
		return
	}
	d.lasts += (took - d.lasts) / 8
}

// turn estimates how long it will be until w may run, of window at a time. When
// none has ended for longer than they usually take, they are taken to take that long.
func (d *destination) turn(w *waiter, window int, now time.Duration) time.Duration {
	place := time.Duration(1)
	for e := d.line.Front(); e != nil && e != w.place; e = e.Next() {
		place++
	}
	return place * max(d.lasts, now-d.moved) / time.Duration(window)
}

// stalled says whether none has ended for a long time.
func (d *destination) stalled(long, now time.Duration) bool {
	return d.running > 0 && now-d.moved > max(long, d.lasts)
}

// widen counts an OK.
func (d *destination) widen(limit int) {
	if d.window >= limit {
		return
	}
	d.credit++
	if d.calm > 0 && d.window >= d.calm && d.credit < d.window {
		return
	}
	d.window++
	d.credit = 0
}

// halve narrows the window and begins an epoch.
func (d *destination) halve(limit int) {
	d.window = max(1, min(d.window, limit)/2)
	d.credit = 0
	d.epoch++
}

// learn draws the conclusions from the result of p, which is no longer counted
// as running.
func (g *Gate) learn(p *Pass, r Result, now time.Duration) {
	d, limit := p.to, g.limits.perHost()
	current := p.epoch == d.epoch
	switch r {
	case OK, Neutral:
		g.troubled(d, 0)
		d.broken = false
		if r == OK && current {
			d.widen(limit)
		}
	case Pushback:
		if current {
			d.halve(limit)
			d.calm = d.window
		}
		g.worse(p, pushback, now)
	case Silent:
		if current {
			d.halve(limit)
			d.calm = 0
		}
		g.worse(p, silence, now)
	case Unknown:
	}
}

// worse adds trouble, and opens the circuit when it is enough.
func (g *Gate) worse(p *Pass, trouble int, now time.Duration) {
	d := p.to
	if d.trouble == 0 {
		// All that run now must fail too: one cut of the network among
		// twenty good deliveries shall not count as five.
		d.enough = silence * max(g.limits.BreakAfter, d.running+1)
	}
	g.troubled(d, d.trouble+trouble)
	switch {
	case d.broken && p.probe:
		d.backoff = min(2*d.backoff, g.limits.MaxBackoff)
		d.probeAt = now + d.backoff
	case !d.broken && d.trouble >= d.enough:
		g.open(d, now)
	}
}

// open opens the circuit and sends the line away.
func (g *Gate) open(d *destination, now time.Duration) {
	d.broken, d.since = true, now
	d.backoff = min(g.limits.Backoff, g.limits.MaxBackoff)
	d.probeAt = now + d.backoff
	d.window, d.credit = 1, 0
	for e := d.line.Front(); e != nil; e = d.line.Front() {
		g.dismiss(e.Value.(*waiter), g.broken(d), now)
	}
}

// broken is the error of d's open circuit.
func (g *Gate) broken(d *destination) error {
	return &BrokenError{Since: g.start.Add(d.since), Until: g.start.Add(d.probeAt)}
}

// troubled sets d's trouble, and keeps count of suspects.
func (g *Gate) troubled(d *destination, trouble int) {
	if d.trouble > 0 {
		g.suspects -= d.running
	}
	d.trouble = trouble
	if d.trouble > 0 {
		g.suspects += d.running
	}
}
