package engine

import (
	"context"
	"errors"
	"hash/maphash"
	"strconv"

	"postrider/internal/apart"
	"postrider/internal/control"
	"postrider/internal/fair"
	"postrider/internal/observe"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/internal/spawn"
	"postrider/remote"
)

// Engine is a spawn.Deliverer. Make it with New.
type Engine struct {
	files    *files
	gate     *fair.Gate
	pool     *pool
	groups   *groups
	observer *observe.Observer
	rooms    smtp.Rooms
	seed     maphash.Seed // of destinations' names in gate
	tidy     *tidy        // nil: nobody tidies
}

// New makes an engine for the qmail home at dir, with at most slots deliveries.
func New(dir string, slots int) *Engine {
	e := &Engine{
		gate: fair.New(fair.Limits{Slots: slots}),
		seed: maphash.MakeSeed(),
	}
	e.groups = newGroups(e.gate)
	e.observer = observe.New(e.view)
	e.pool = newPool(e.observer)
	e.files = newFiles(dir, slots, e.pool, e.observer)
	return e
}

// Observer tells what the engine is doing.
func (e *Engine) Observer() *observe.Observer { return e.observer }

// Tidy has free called when deliveries rest: it is to collect garbage, and to
// give memory back to the system. It comes before the first delivery, and Close
// ends it.
func (e *Engine) Tidy(free func()) { e.tidy = &tidy{allocated: allocated, free: free} }

// Close ends idle conversations and waits for them.
func (e *Engine) Close() {
	if e.tidy != nil {
		e.tidy.close()
	}
	e.pool.close()
	e.files.set.Close()
}

// Reload forgets what is known of control files and DNS; SIGHUP asks for it.
func (e *Engine) Reload() {
	e.files.forget()
	e.observer.Reloaded()
}

// Deliver implements spawn.Deliverer.
func (e *Engine) Deliver(ctx context.Context, d spawn.Delivery) []byte {
	if e.tidy != nil {
		e.tidy.stir()
		defer e.tidy.stir()
	}
	watch := e.observer.Begin(observe.Order{Slot: d.Slot, MessID: d.MessID, Sender: d.Sender, Recipient: d.Recipient, Host: d.Host})
	o, letter := &report.Outcome{Cause: report.Crashed}, byte('Z') // should what follows panic
	defer func() { watch.End(o, letter) }()
	o = e.deliver(ctx, &d, watch)
	line := o.Line()
	if len(line) > 0 {
		letter = line[0]
	}
	return line
}

func (e *Engine) deliver(ctx context.Context, d *spawn.Delivery, watch *observe.Delivery) *report.Outcome {
	t, o := e.prepare(ctx, d, watch)
	if t == nil {
		return o
	}
	if t.place > 0 {
		watch.Phase(observe.Joined)
		return t.group.wait(t.place)
	}
	return t.group.lead(func(seal func() smtp.Envelope) *report.Outcome {
		t.job.Seal = seal
		return e.carry(ctx, t, watch)
	})
}

// trip is a delivery's way, that of its whole group if it leads.
type trip struct {
	remote      *remote.Engine
	plan        *remote.Plan
	destination string
	job         remote.Job
	group       *group
	place       int // in group
}

// prepare finds out where a delivery goes, and who goes along. Without a trip, the
// outcome says why.
func (e *Engine) prepare(ctx context.Context, d *spawn.Delivery, watch *observe.Delivery) (*trip, *report.Outcome) {
	defer d.Row.Placed()
	message, err := smtp.ReadMessage(d.Message, &e.rooms)
	if err != nil {
		return nil, &report.Outcome{Cause: report.UnreadableMessage}
	}
	s, err := e.files.current()
	if err != nil {
		return nil, &report.Outcome{Cause: report.UnreadableControl, Detail: control.Blame(err)}
	}
	e.gate.SetLimits(s.limits)
	e.observer.Log(s.log)
	job, cause := remote.ParseJob([]string{d.Host, d.Sender, d.Recipient}, message)
	if cause != report.Accepted {
		return nil, &report.Outcome{Cause: cause, Host: d.Host}
	}
	t := &trip{remote: s.remote, job: job}
	watch.Takes(longest(s.remote, &t.job))
	var o report.Outcome
	var destination string
	apart.Run(func() {
		if t.plan, o = t.remote.Plan(ctx, job); t.plan != nil {
			destination = t.plan.Key()
			t.destination = e.name(t.plan, destination)
		}
	})
	if t.plan == nil {
		return nil, &o
	}
	key := d.MessID + "\x00" + d.Sender + "\x00" + destination
	if job.Envelope.NeedsUTF8() {
		key += "\x00" + d.Recipient // what only some servers take is nobody else's trouble
	}
	t.group, t.place = e.groups.join(key, job.Envelope, d.Row)
	return t, nil
}

// name is the name under which a destination stands in the gate, and is shown.
// Its key holds passwords.
func (e *Engine) name(plan *remote.Plan, key string) string {
	return plan.Host() + " " + strconv.FormatUint(maphash.String(e.seed, key), 36)
}

// carry waits for the destination's turn and delivers.
func (e *Engine) carry(ctx context.Context, t *trip, watch *observe.Delivery) *report.Outcome {
	watch.Phase(observe.Waiting)
	pass, err := e.gate.EnterAs(ctx, t.destination, t.group.party, t)
	switch {
	case errors.Is(err, fair.ErrWait):
		return &report.Outcome{Cause: report.Busy, Host: t.job.Host}
	case err != nil: // the circuit is open, or we are to end
		return &report.Outcome{Cause: report.NoConnection}
	}
	defer pass.Leave(fair.Unknown)
	watch.Phase(observe.Talking)
	t.job.Follow = e.follow(pass)
	if ride, ok := pass.With().(*remote.Ride); ok && ride != nil {
		e.observer.Overlapped()
		t.job.Ride = ride
	}
	o := t.remote.Carry(ctx, t.plan, &t.job)
	e.observer.Transaction(len(o.Rcpts))
	pass.Leave(lesson(o))
	return o
}

// lesson is what an outcome teaches about its destination.
func lesson(o *report.Outcome) fair.Result {
	switch o.Cause {
	case report.Accepted:
		return fair.OK
	case report.NoConnection, report.ConnectionDied:
		return fair.Silent
	case report.GreetingFailed, report.NameRejected, report.SenderRefused:
		if o.Reply.Transient() {
			return fair.Pushback
		}
		return fair.Neutral
	case report.GaveUp, report.DataRefused, report.ContentRefused, report.TooLarge, report.UTF8Unavailable:
		if o.Reply.Code == 421 {
			return fair.Pushback
		}
		return fair.Neutral
	}
	return fair.Unknown
}
