package observe

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"postrider/internal/fair"
	"postrider/internal/report"
	"postrider/resolver"
)

// View is what an engine looks like from inside.
type View struct {
	Limit  int // deliveries at a time
	Groups int // that may still be joined
	// Gate's keys are a host's name, a space, and what tells the key from others.
	Gate fair.State
	Idle map[netip.AddrPort]int // idle conversations
	DNS  resolver.CacheStats
	TLS  TLS
}

// TLS is handshakes that succeeded, in full and by resuming a session, and keys
// that have a session.
type TLS struct {
	Full, Resumed uint64
	Sessions      int
}

// Observer counts. Make it with New; it is for concurrent use.
type Observer struct {
	look     func() View
	started  time.Time
	registry *prometheus.Registry
	counts   counts
	log      *lines // nil: there is nowhere to write to
	wanted   atomic.Bool

	mu   sync.Mutex
	open map[*Delivery]struct{} // guarded by mu
}

// New makes an Observer of the engine that look looks into. Look is called for
// each request, in a goroutine of its own.
func New(look func() View) *Observer {
	o := &Observer{look: look, started: time.Now(), open: map[*Delivery]struct{}{}}
	o.register()
	return o
}

// Phase is how far a delivery has come.
type Phase int32

const (
	Planning Phase = iota // control files and DNS
	Joined                // another delivery carries its recipient along
	Waiting               // for its destination's turn
	Talking               // to servers
)

func (p Phase) String() string {
	switch p {
	case Joined:
		return "joined"
	case Waiting:
		return "waiting"
	case Talking:
		return "talking"
	}
	return "planning"
}

// Order is what a delivery is ordered to do.
type Order struct {
	Slot                            byte
	MessID, Sender, Recipient, Host string
}

// Delivery is one that is under way.
type Delivery struct {
	Order
	began time.Time
	phase atomic.Int32
	most  atomic.Int64 // a time.Duration: see Takes
	o     *Observer
}

// Begin notes a delivery that begins.
func (o *Observer) Begin(order Order) *Delivery {
	d := &Delivery{Order: order, began: time.Now(), o: o}
	d.Takes(time.Hour)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.open[d] = struct{}{}
	return d
}

// Phase notes how far it has come.
func (d *Delivery) Phase(p Phase) { d.phase.Store(int32(p)) }

// Takes notes how long it may take in all, at the most. Until that is known, an
// hour.
func (d *Delivery) Takes(most time.Duration) { d.most.Store(int64(most)) }

// Overdue reports whether a delivery is under way that must have ended by now.
func (o *Observer) Overdue() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for d := range o.open {
		if time.Since(d.began) > time.Duration(d.most.Load()) {
			return true
		}
	}
	return false
}

// End notes its end, and that letter is what qmail-send is told: K, Z or D.
func (d *Delivery) End(out *report.Outcome, letter byte) {
	defer harmless()
	d.o.mu.Lock()
	delete(d.o.open, d)
	d.o.mu.Unlock()
	took, cause := time.Since(d.began), causeOf(out, letter)
	d.o.counts.ended(letter, cause, took)
	if d.o.log != nil && d.o.wanted.Load() {
		d.o.log.delivery(d, out, ended{letter, cause, took})
	}
}

// Transaction notes that one is over in which servers answered for n recipients.
func (o *Observer) Transaction(n int) {
	if n > 0 {
		o.counts.recipients.Observe(float64(n))
	}
}

// Dialed notes an attempt to connect.
func (o *Observer) Dialed(err error) {
	if err != nil {
		o.counts.failed.Add(1)
		return
	}
	o.counts.made.Add(1)
}

// Reused notes a conversation that was found waiting.
func (o *Observer) Reused() { o.counts.reused.Add(1) }

// Overlapped notes a transaction that began behind another's content.
func (o *Observer) Overlapped() { o.counts.overlapped.Add(1) }

// Reloaded notes that files and DNS answers have been forgotten.
func (o *Observer) Reloaded() { o.counts.reloads.Add(1) }

// harmless ends a panic: whatever went wrong here, mail was carried all the same.
func harmless() { _ = recover() }

// clean makes a stranger's text fit to be looked at.
func clean(s string) string {
	b := []byte(s[:min(len(s), 255)])
	for i, c := range b {
		if c < 0x20 || c > 0x7e {
			b[i] = '?'
		}
	}
	return string(b)
}
