package observe

import (
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"postrider/internal/report"
)

const (
	// backlog is how many lines wait for a reader; more are dropped and counted.
	backlog = 1000
	// lastWords is how long the end waits for lines to be written.
	lastWords = time.Second
)

// lines is the log: a record for each delivery, written by a goroutine of its
// own, since whoever reads them may be slow or stuck.
type lines struct {
	logger  *slog.Logger
	queue   chan []byte
	dropped *atomic.Uint64
	written chan struct{} // closed when queue is, and all is written

	mu     sync.RWMutex
	closed bool // guarded by mu
}

// LogTo makes w the place for log lines, of which there are some while Log is
// true; before the first delivery. The stop that it gives writes what waits, or
// gives up after a second.
func (o *Observer) LogTo(w io.Writer) (stop func()) {
	l := &lines{queue: make(chan []byte, backlog), dropped: &o.counts.dropped, written: make(chan struct{})}
	l.logger = slog.New(slog.NewJSONHandler(l, nil))
	o.log = l
	go func() {
		defer close(l.written)
		for line := range l.queue {
			w.Write(line) // a failure is nobody's business; the next may go
		}
	}()
	return l.stop
}

// Log says whether control/remotelog wants lines.
func (o *Observer) Log(wanted bool) { o.wanted.Store(wanted) }

func (l *lines) stop() {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	select {
	case <-l.written:
	case <-time.After(lastWords):
	}
}

// Write takes one record from slog. It never waits.
func (l *lines) Write(b []byte) (int, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return len(b), nil
	}
	select {
	case l.queue <- append([]byte(nil), b...):
	default:
		l.dropped.Add(1)
	}
	return len(b), nil
}

// ended is how a delivery ended.
type ended struct {
	letter byte
	cause  string
	took   time.Duration
}

// delivery writes of the server's words only their code: what a server says may
// repeat what it was told.
func (l *lines) delivery(d *Delivery, o *report.Outcome, e ended) {
	code := o.Reply.Code
	if len(o.Rcpts) == 1 && e.letter != 'K' && !o.Rcpts[0].Positive() {
		code = o.Rcpts[0].Code
	}
	attrs := []slog.Attr{
		slog.String("result", string(e.letter)),
		slog.String("cause", e.cause),
		slog.Int("slot", int(d.Slot)),
		slog.String("message", clean(d.MessID)),
		slog.String("from", clean(d.Sender)),
		slog.String("to", clean(d.Recipient)),
		slog.String("peer", clean(o.Host)),
		slog.Int("code", code),
		slog.String("tls", clean(o.TLS.Version)),
		slog.Bool("doubt", o.InDoubt),
		slog.Float64("seconds", float64(e.took.Milliseconds())/1000),
	}
	l.logger.LogAttrs(context.Background(), slog.LevelInfo, "delivery", attrs...)
}
