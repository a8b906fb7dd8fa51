package spawn

import (
	"bufio"
	"io"
	"sync/atomic"
	"time"
)

// Engine is an engine's process.
type Engine struct {
	Commands io.WriteCloser // its descriptor 0
	Reports  io.Reader      // its descriptor 1
	Kill     func()         // makes it end soon
	Reload   func()         // sends it SIGHUP: files have changed
	// End kills the process if it still lives, and waits for its end; neither
	// a write to Commands nor a read from Reports hangs afterwards.
	End func()
}

// life is an engine from its start to its end, with one goroutine for each
// direction.
type life struct {
	*Engine
	began    time.Time
	commands chan Command // has room for every slot: run never waits here
	reports  chan []byte  // closed when the engine has ended
	hungUp   bool         // commands is closed
	spoken   atomic.Bool

	silence *time.Timer // since its last pulse
	doubted bool        // it has run out once
	hung    bool        // it has run out twice: killed
}

func begin(e *Engine, f Front) *life {
	l := &life{Engine: e, began: time.Now(), silence: time.NewTimer(f.Silence),
		commands: make(chan Command, f.Limit), reports: make(chan []byte, f.Limit)}
	go l.feed()   // ends with hangUp
	go l.listen() // ends with the engine
	return l
}

// reload tells the engine that files have changed, unless it has not come so far
// as to have read any: before its first word SIGHUP would end it.
func (l *life) reload() {
	if l != nil && l.spoken.Load() {
		l.Reload()
	}
}

func (l *life) hangUp() {
	if l != nil && !l.hungUp {
		l.hungUp = true
		close(l.commands)
	}
}

// feed writes commands to the engine, those that are there in one go. One that
// cannot be written belongs to an engine that is ending; listen notices.
func (l *life) feed() {
	defer l.Commands.Close()
	var out []byte
	for c := range l.commands {
		out = c.AppendTo(out[:0])
		for len(out) < batch && len(l.commands) > 0 {
			c = <-l.commands // nobody else takes from it
			out = c.AppendTo(out)
		}
		l.Commands.Write(out)
	}
}

// maxReport is what qmail-send reads of a report and what we keep, with slot
// and NUL.
const maxReport = 10000

// listen reads whole reports. An engine that says no more is ended, also when
// it lives.
func (l *life) listen() {
	defer close(l.reports)
	defer l.End()
	r := bufio.NewReader(l.Reports)
	_, err := r.ReadByte() // its limit, which is ours
	l.spoken.Store(true)
	for err == nil {
		var report []byte
		if report, err = readReport(r); err == nil {
			l.reports <- report
		}
	}
}

// batch is about how many bytes of frames are written in one go.
const batch = 16 << 10

// readReport reads slot, text and NUL. The slot may be 0.
func readReport(r *bufio.Reader) ([]byte, error) {
	slot, err := r.ReadByte()
	report := append(make([]byte, 0, 256), slot)
	for err == nil {
		var text []byte
		text, err = r.ReadSlice(0)
		whole := err == nil
		if whole {
			text = text[:len(text)-1]
		}
		report = append(report, text[:min(len(text), maxReport-1-len(report))]...)
		if whole {
			return append(report, 0), nil
		}
		if err == bufio.ErrBufferFull {
			err = nil
		}
	}
	return report, err
}
