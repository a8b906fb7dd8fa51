package engine

import (
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/fair"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/internal/spawn"
)

const (
	// maxGroup is how many recipients one transaction takes: RFC 5321
	// §4.5.3.1.8 has every server take 100.
	maxGroup = 100
	// linger is how long nobody must have joined a group before its recipients are
	// counted, unless it is known that nobody will (spawn.Row). Qmail-send gives the
	// recipients of a message one by one, a fraction of a millisecond apart; a
	// conversation that waits in the pool would be quicker.
	linger = time.Millisecond
	// lingerings is how many times linger a group may wait whom others keep joining.
	lingerings = 4
)

// groups are the groups that may still be joined.
type groups struct {
	gate   *fair.Gate
	linger time.Duration
	mu     sync.Mutex
	open   map[string]*group // guarded by mu
}

func newGroups(gate *fair.Gate) *groups {
	return &groups{gate: gate, linger: linger, open: map[string]*group{}}
}

// group is recipients that go in one transaction.
type group struct {
	key  string
	all  *groups
	row  *spawn.Row // the leader's, whose end is that of waiting for others
	born time.Time
	ripe atomic.Int64 // at what age, in nanoseconds, nobody is waited for any more

	party    *fair.Party
	full     chan struct{} // closed when sealed
	sealed   bool          // guarded by all.mu
	envelope smtp.Envelope // guarded by all.mu until sealed

	done    chan struct{}   // closed when outcome is set
	outcome *report.Outcome // of the whole transaction
}

// join adds a recipient to the open group of that key, or begins one, also where
// that one runs already and has as many slots as its destination may keep. The
// member at place 0 leads; all others wait.
func (gs *groups) join(key string, e smtp.Envelope, row *spawn.Row) (*group, int) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.open[key]
	if g != nil && !g.party.Join() {
		g.shut()
		g = nil
	}
	if g == nil {
		g = &group{key: key, all: gs, row: row, party: gs.gate.NewParty(), born: time.Now(), full: make(chan struct{}), done: make(chan struct{}), envelope: smtp.Envelope{Sender: e.Sender}}
		gs.open[key] = g
	}
	g.ripe.Store(int64(min(time.Since(g.born)+gs.linger, lingerings*gs.linger)))
	place := len(g.envelope.Rcpts)
	g.add(e)
	if len(g.envelope.Rcpts) == maxGroup {
		g.shut()
	}
	return g, place
}

// add adds a recipient, and its A-labels where there are such: then it is the same
// one as the others, said once more. all.mu is held.
func (g *group) add(e smtp.Envelope) {
	to := &g.envelope
	to.Rcpts = append(to.Rcpts, e.Rcpts...)
	if e.ASCII == nil {
		return
	}
	if to.ASCII == nil {
		to.ASCII = &smtp.Envelope{Sender: e.ASCII.Sender}
	}
	to.ASCII.Rcpts = append(to.ASCII.Rcpts, e.ASCII.Rcpts...)
}

// shut closes the group to others; all.mu is held.
func (g *group) shut() {
	if !g.sealed {
		g.sealed = true
		g.ripe.Store(0)
		close(g.full)
		delete(g.all.open, g.key)
	}
}

// seal gives the group's recipients, for good.
func (g *group) seal() smtp.Envelope {
	for wait := g.unripe(); wait > 0; wait = g.unripe() {
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-g.full:
		case <-g.row.Over():
		}
		t.Stop()
	}
	g.all.mu.Lock()
	defer g.all.mu.Unlock()
	g.shut()
	return g.envelope
}

// unripe is for how long seal would wait, as it looks now. It takes no lock: the
// gate asks it with its own held, and join enters the gate with all.mu held.
func (g *group) unripe() time.Duration {
	if g.row.Complete() {
		return 0
	}
	return time.Duration(g.ripe.Load()) - time.Since(g.born)
}

// lead carries the group's transaction out and gives the leader's own part of
// the outcome. Whatever happens in carry, nobody is left waiting.
func (g *group) lead(carry func(seal func() smtp.Envelope) *report.Outcome) *report.Outcome {
	g.outcome = &report.Outcome{Cause: report.Crashed}
	defer func() {
		g.all.mu.Lock()
		g.shut()
		g.all.mu.Unlock()
		close(g.done)
	}()
	g.outcome = carry(g.seal)
	return g.part(0)
}

// wait gives the part of a member that does not lead.
func (g *group) wait(place int) *report.Outcome {
	<-g.done // the context of all deliveries is the same: the leader ends with it
	return g.part(place)
}

// part is what the outcome is for one member.
func (g *group) part(place int) *report.Outcome {
	o := g.outcome.For(place)
	return &o
}
