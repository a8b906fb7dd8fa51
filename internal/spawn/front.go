package spawn

import (
	"io"
	"os"
	"time"
)

// Front stands between qmail-send and an engine, which is a process that runs
// Serve, and outlives it. Whatever ends the engine, every slot that was open is
// answered "Zqmail-remote crashed." once, and the next command starts another.
//
// The invariant: a slot is open from the moment its command is taken until its
// report is written. One goroutine, run, alone opens and closes slots, starts
// and buries engines, and writes to qmail-send; so no report is doubled, none
// is lost, and half of one is never seen. A command that an engine did not read
// to its end, and a report that it did not write to its end, belong to an open
// slot like any other.
//
// An engine that lives but does not pulse (see Serve) is in doubt: what is
// ordered meanwhile waits, so that the deliveries that are well come to their
// end. If it goes on so, it is killed, and only then, when it delivers no more,
// the slots that are left are answered; what waited goes to the next engine.
type Front struct {
	Limit int // as Config.Limit
	// Start starts an engine.
	Start func() (*Engine, error)
	// Patience is the longest that commands wait for an engine to be started;
	// 0 is 5 seconds.
	Patience time.Duration
	// Silence is how long an engine may go without a pulse before it is in
	// doubt, and again before it is killed: all of this may have been stopped
	// for a while, front and engine alike. 0 is 5 minutes.
	Silence time.Duration
	// Reload, if there is one, tells that files have changed, which goes on to
	// the engine.
	Reload <-chan os.Signal
}

// Run says Limit to out and serves qmail-send until in ends; then the engine is
// told, finishes its deliveries, and Run returns.
func (f Front) Run(in io.Reader, out io.Writer) {
	s := &front{Front: f, out: out}
	if s.Patience == 0 {
		s.Patience = lastPause
	}
	if s.Silence == 0 {
		s.Silence = 5 * time.Minute
	}
	s.write([]byte{byte(f.Limit)})
	orders := make(chan Command)
	go func() {
		defer close(orders) // which ends run
		commands(in, func(c Command) { orders <- c })
	}()
	s.run(orders)
}

// An engine that lived for less than steady lets the next one wait: 0, then
// firstPause, then twice as long each time, up to the front's Patience.
const (
	steady     = 10 * time.Second
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

type front struct {
	Front
	out    io.Writer
	broken bool   // qmail-send reads no more
	frames []byte // kept for its memory
	open   [MaxLimit + 1]bool
	life   *life     // nil: there is no engine
	held   []Command // of open slots: they wait for life's pulse, or its end

	ready time.Time     // when the next engine may start
	pause time.Duration // how long the one after it will wait
}

func (f *front) run(orders <-chan Command) {
	for orders != nil || f.life != nil {
		var reports chan []byte
		var silence <-chan time.Time
		if f.life != nil {
			reports, silence = f.life.reports, f.life.silence.C
		}
		select {
		case c, more := <-orders:
			if more {
				f.take(c)
				continue
			}
			orders = nil
			f.release() // to what fate it may be
			f.life.hangUp()
		case r, more := <-reports:
			if more {
				f.pass(r, reports)
				continue
			}
			f.bury()
			f.release()
			if orders == nil {
				f.life.hangUp()
			}
		case <-silence:
			f.doubt()
		case <-f.Reload:
			f.life.reload()
		}
	}
}

// pass writes a report to qmail-send, and what others there are in the same go.
func (f *front) pass(r []byte, more <-chan []byte) {
	out := f.frames[:0]
	for {
		if r[0] == pulseSlot && !f.life.hung {
			f.life.silence.Reset(f.Silence)
			f.life.doubted = false
			f.release()
		}
		if f.open[r[0]] { // nobody asked otherwise
			f.open[r[0]] = false
			out = append(out, r...)
		}
		if len(out) >= batch || len(more) == 0 {
			break
		}
		r = <-more // nobody else takes from it
	}
	if len(out) > 0 {
		f.write(out)
	}
	f.frames = out
}

// take opens a command's slot.
func (f *front) take(c Command) {
	if fault := c.slotFault(f.Limit, f.open[c.Slot]); fault != "" {
		f.write(frame(c.Slot, []byte(fault)))
		return
	}
	f.open[c.Slot] = true
	if f.life != nil && f.life.doubted {
		f.held = append(f.held, c)
		return
	}
	f.give(c)
}

// release gives the engine what was held.
func (f *front) release() {
	held := f.held
	f.held = nil
	for _, c := range held {
		f.give(c)
	}
}

// give hands a command to the engine. Where there is none, the command waits
// for the next, as those behind it do in the pipe: for Patience at most, while a
// deferral would cost the message minutes. If that engine fails, too, it is
// answered.
func (f *front) give(c Command) {
	if f.life == nil {
		time.Sleep(time.Until(f.ready)) // nobody delivers: there is nothing else to do
		e, err := f.Start()
		if err != nil {
			f.open[c.Slot] = false
			f.write(frame(c.Slot, []byte("Zqmail-spawn unable to fork. (#4.3.0)\n")))
			f.hold(0)
			return
		}
		f.life = begin(e, f.Front)
	}
	f.life.commands <- c
}

// doubt is what a pulse that does not come raises, and then settles.
func (f *front) doubt() {
	if f.life.doubted {
		f.life.hung = true
		f.life.Kill() // which ends reports
		return
	}
	f.life.doubted = true
	f.life.silence.Reset(f.Silence)
}

// bury answers for an engine that has ended.
func (f *front) bury() {
	f.life.hangUp()
	f.life.silence.Stop()
	line := crashed
	if f.life.hung {
		line = hung
	}
	waits := [len(f.open)]bool{}
	for _, c := range f.held {
		waits[c.Slot] = true
	}
	for slot, open := range f.open {
		if open && !waits[slot] {
			f.open[slot] = false
			f.write(frame(byte(slot), []byte(line)))
		}
	}
	f.hold(time.Since(f.life.began))
	f.life = nil
}

// hold says when the engine may start that follows one which lived so long.
func (f *front) hold(lived time.Duration) {
	if lived >= steady {
		f.pause = 0
	}
	f.ready = time.Now().Add(f.pause)
	f.pause = min(max(2*f.pause, firstPause), f.Patience)
}

// write writes to qmail-send. Compat(qmail): when that fails, deliveries go on.
func (f *front) write(b []byte) {
	if !f.broken {
		_, err := f.out.Write(b)
		f.broken = err != nil
	}
}
