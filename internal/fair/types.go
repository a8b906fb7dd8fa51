package fair

import (
	"cmp"
	"errors"
	"strconv"
	"time"
)

// Limits is the policy in numbers. What is zero or negative gets its default.
type Limits struct {
	PerHost int // deliveries that run to one destination: control/concurrencyperhost, 20

	// Slots is how many deliveries there can be in all: the lesser of qmail-rspawn's
	// own limit and control/concurrencyremote; 255. If it is too large, a lack
	// of slots goes unnoticed and lines stay up to MaxWait.
	Slots int

	Initial    int           // window of a destination never met before; 5
	BreakAfter int           // Silent deliveries in a row that open the circuit; 5
	MaxWait    time.Duration // longest wait in line; 100 s
	Hold       time.Duration // how often those in line are looked at; 4 s
	Backoff    time.Duration // from opening to the first probe; 30 s

	// MaxBackoff is the longest time between probes; 300 s, so that mail deferred
	// because of an open circuit (400 s) comes back after at least one more.
	MaxBackoff time.Duration

	Renew time.Duration // idle time after which a window begins anew, at Initial; 1 h

	// Forget is the idle time after which a destination is forgotten; 12 h, longer
	// than qmail-send lets pass between two attempts until the mail is too old:
	// what was dead is suspect the next time, what was slow is known to be.
	Forget   time.Duration
	MaxKnown int // destinations remembered; 10000 (some 3 MB); beyond it the longest idle go first
}

func (l Limits) withDefaults() Limits {
	or := func(n *int, preset int) { *n = cmp.Or(max(*n, 0), preset) }
	orTime := func(t *time.Duration, preset time.Duration) { *t = cmp.Or(max(*t, 0), preset) }
	or(&l.PerHost, 20)
	or(&l.Slots, 255)
	or(&l.Initial, 5)
	or(&l.BreakAfter, 5)
	or(&l.MaxKnown, 10000)
	orTime(&l.MaxWait, 100*time.Second)
	orTime(&l.Hold, 4*time.Second)
	orTime(&l.Backoff, 30*time.Second)
	orTime(&l.MaxBackoff, 300*time.Second)
	orTime(&l.Renew, time.Hour)
	orTime(&l.Forget, 12*time.Hour)
	return l
}

// reserve is how many slots must be free for waiting to be free.
func (l *Limits) reserve() int { return max(l.Slots/8, min(5, l.Slots/4)) }

// most is how many slots one destination may keep busy: all but the reserve.
func (l *Limits) most() int { return l.Slots - l.reserve() }

// perHost is how many deliveries one destination may run: PerHost, but never
// in the reserve.
func (l *Limits) perHost() int { return min(l.PerHost, l.most()) }

// soon is how long a wait may still be while slots are scarce. Fewer than four
// slots have no reserve.
func (l *Limits) soon() time.Duration {
	return l.Hold * time.Duration(l.Slots) / time.Duration(max(1, l.reserve()))
}

// pace is the time between two deferrals of mail that only its destination's
// slowness keeps from being delivered, while slots are scarce.
func (l *Limits) pace() time.Duration {
	return l.Hold / time.Duration(2*max(1, l.reserve()))
}

// suspects is how many deliveries may run to destinations in trouble, together.
func (l *Limits) suspects() int { return max(1, l.Slots/2) }

// Result is what a delivery has learned about its destination.
type Result uint8

const (
	// Unknown: nothing was learned; the delivery was cancelled or is ours to blame.
	Unknown Result = iota
	// OK: a message was accepted.
	OK
	// Neutral: the host is well and refused the sender, recipients or content.
	Neutral
	// Pushback: the host is there and wants less: 421 anywhere, 4xx at greeting or MAIL.
	Pushback
	// Silent: no connection, no greeting, or the connection died or timed out.
	Silent
)

func (r Result) String() string {
	switch r {
	case Unknown:
		return "unknown"
	case OK:
		return "ok"
	case Neutral:
		return "neutral"
	case Pushback:
		return "pushback"
	case Silent:
		return "silent"
	}
	return "Result(" + strconv.Itoa(int(r)) + ")"
}

// ErrWait says that the delivery is better deferred than kept in a slot: its
// turn did not come, or would not come soon enough.
var ErrWait = errors.New("fair: destination is busy")

// ErrBroken says that the circuit of the destination is open. Enter returns it
// as a *BrokenError.
var ErrBroken = errors.New("fair: destination does not answer")

// BrokenError is ErrBroken with its times.
type BrokenError struct {
	Since time.Time // when the circuit opened
	Until time.Time // when the next probe may go; in the past if one is under way
}

func (e *BrokenError) Error() string {
	return ErrBroken.Error() + " since " + e.Since.UTC().Format(time.RFC3339)
}

// Unwrap makes errors.Is(err, ErrBroken) true.
func (e *BrokenError) Unwrap() error { return ErrBroken }

// State is a snapshot of a Gate.
type State struct {
	Slots        int // Limits.Slots
	Held         int // deliveries that run or wait
	Suspects     int // of these, running to destinations in trouble
	Destinations []Destination
}

// Destination is a destination in a State.
type Destination struct {
	Key              string
	Window           int // how many may run now
	Running, Waiting int
	BrokenSince      time.Time // zero when the circuit is closed
	BrokenUntil      time.Time // when the next probe may go; zero when the circuit is closed
}
