package engine

import (
	"context"
	"errors"

	"postrider/internal/fair"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/internal/spawn"
	"postrider/remote"
)

// Engine is a spawn.Deliverer. Make it with New.
type Engine struct {
	files  *files
	gate   *fair.Gate
	pool   *pool
	groups *groups
}

// New makes an engine for the qmail home at dir, with at most slots deliveries.
func New(dir string, slots int) *Engine {
	p := newPool()
	return &Engine{
		files:  newFiles(dir, slots, p),
		gate:   fair.New(fair.Limits{Slots: slots}),
		pool:   p,
		groups: newGroups(),
	}
}

// Close ends idle conversations and waits for them.
func (e *Engine) Close() { e.pool.close() }

// Reload forgets what is known of control files and DNS; SIGHUP asks for it.
func (e *Engine) Reload() { e.files.forget() }

// Deliver implements spawn.Deliverer.
func (e *Engine) Deliver(ctx context.Context, d spawn.Delivery) []byte {
	o := e.deliver(ctx, d)
	return o.Line()
}

func (e *Engine) deliver(ctx context.Context, d spawn.Delivery) report.Outcome {
	message, err := smtp.OpenMessage(d.Message)
	if err != nil {
		return report.Outcome{Cause: report.UnreadableMessage}
	}
	s, err := e.files.current()
	if err != nil {
		return report.Outcome{Cause: report.UnreadableControl, Detail: err.Error()}
	}
	e.gate.SetLimits(s.limits)
	job, cause := remote.ParseJob([]string{d.Host, d.Sender, d.Recipient}, message)
	if cause != report.Accepted {
		return report.Outcome{Cause: cause, Host: d.Host}
	}
	r := s.remote.Fresh(e.files.dir)
	plan, o := r.Plan(ctx, job)
	if plan == nil {
		return o
	}
	destination := plan.Key()
	key := d.MessID + "\x00" + d.Sender + "\x00" + destination
	if job.Envelope.NeedsUTF8() {
		key += "\x00" + d.Recipient // what only some servers take is nobody else's trouble
	}
	g, place := e.groups.join(key, job.Envelope)
	if place > 0 {
		return g.wait(place)
	}
	return g.lead(func(seal func() smtp.Envelope) report.Outcome {
		job.Seal = seal
		return e.carry(ctx, r, plan, destination, job)
	})
}

// carry waits for the destination's turn and delivers.
func (e *Engine) carry(ctx context.Context, r *remote.Engine, plan *remote.Plan, destination string, job remote.Job) report.Outcome {
	pass, err := e.gate.Enter(ctx, destination)
	switch {
	case errors.Is(err, fair.ErrWait):
		return report.Outcome{Cause: report.Busy, Host: job.Host}
	case err != nil: // the circuit is open, or we are to end
		return report.Outcome{Cause: report.NoConnection}
	}
	defer pass.Leave(fair.Unknown)
	o := r.Carry(ctx, plan, job)
	pass.Leave(lesson(&o))
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
