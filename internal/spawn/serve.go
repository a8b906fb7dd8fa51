package spawn

import (
	"bytes"
	"context"
	"io"
	"os"
	"sync"
	"time"
)

const (
	// crashed is the report of a delivery that ended without one.
	crashed = "Zqmail-remote crashed.\n"
	// hung is that of one which did not end for long: its message may be out.
	hung = "Zqmail-remote crashed. Possible duplicate!\n"
)

// MaxLimit is the most deliveries at a time: a slot is a byte, and so is the
// limit that qmail-send is told.
const MaxLimit = 255

// pulseSlot, which is nobody's, is that of the empty reports that Serve makes
// every pulse while all is well. Front keeps them from qmail-send.
const (
	pulseSlot = MaxLimit
	pulse     = 30 * time.Second
)

// Delivery is one message to one recipient.
type Delivery struct {
	Slot                            byte
	MessID, Sender, Recipient, Host string // Host is what follows the last @ of Recipient
	// Message is at its beginning, regular, and the Deliverer's until Deliver
	// returns; then it is closed.
	Message *os.File
	Row     *Row // the orders that this one came among
}

// Deliverer delivers, each delivery in a goroutine of its own.
type Deliverer interface {
	// Deliver returns the report without slot and NUL: K, Z or D, and text. It
	// must end soon when ctx does. A panic is a crash of this delivery only.
	Deliver(ctx context.Context, d Delivery) []byte
}

// Config is what Serve serves.
type Config struct {
	Limit int // deliveries at a time, 1 to MaxLimit
	Queue Queue
	// Healthy reports whether every delivery under way may still come to its
	// end; nil: nobody can know. It may also hang when something is wrong.
	Healthy func() bool
}

// Serve says its limit to out, runs the commands of in, and reports each once,
// in any order. It returns when in has ended and every delivery has reported;
// ctx is for the deliveries, not for Serve. Meanwhile it pulses: out is a Front's.
// Compat(qmail): a failed read is the end of the input; a failed write ends the
// reports but not the deliveries, and is returned.
func Serve(ctx context.Context, in io.Reader, out io.Writer, c Config, d Deliverer) error {
	if c.Limit < 1 || c.Limit > MaxLimit {
		panic("spawn: a limit that no byte can say")
	}
	s := &server{Config: c, deliverer: d, reports: make(chan answer, c.Limit)}
	s.Queue.enter()
	defer s.Queue.leave()
	var err error
	var writing, pulsing, running sync.WaitGroup
	writing.Go(func() { err = s.write(out) })
	done := make(chan struct{})
	pulsing.Go(func() { s.pulse(done) })
	orders := make(chan task)
	var rows rows
	commands(in, func(c Command) {
		if fault := s.occupy(&c); fault != "" {
			s.reports <- answer{slot: c.Slot, line: []byte(fault), refused: true}
			return
		}
		t := task{c, rows.add(c.MessID)}
		select {
		case orders <- t: // somebody is idle
		default:
			running.Go(func() {
				s.run(ctx, &t)
				for t := range orders {
					s.run(ctx, &t)
				}
			})
		}
	})
	rows.end()
	close(orders)
	running.Wait()
	close(done)
	pulsing.Wait()
	close(s.reports)
	writing.Wait()
	return err
}

// pulse shows Front that we live, through all that a report goes through.
func (s *server) pulse(done <-chan struct{}) {
	t := time.NewTicker(pulse)
	defer t.Stop()
	for {
		select {
		case <-done:
			return
		case <-t.C:
			if s.Healthy == nil || s.Healthy() {
				s.reports <- answer{slot: pulseSlot, refused: true}
			}
		}
	}
}

// task is a command that has its slot.
type task struct {
	Command
	row *Row
}

// run carries one command out and reports it. A goroutine runs one after another,
// since its stack has grown to what a delivery needs.
func (s *server) run(ctx context.Context, t *task) {
	r := answer{slot: t.Slot, line: []byte(crashed)}
	defer func() {
		recover() // r is then what it was
		s.reports <- r
	}()
	r.line = s.deliver(ctx, t)
}

type server struct {
	Config
	deliverer Deliverer
	reports   chan answer // owned by the writer, which alone writes to out

	mu   sync.Mutex
	open [MaxLimit + 1]bool // slots under way; under mu
}

// answer is what is said of one command. One that was refused did not occupy
// its slot.
type answer struct {
	slot    byte
	line    []byte
	refused bool
}

// occupy takes the command's slot, or says why it cannot be had.
func (s *server) occupy(c *Command) (fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault = c.slotFault(s.Limit, s.open[c.Slot])
	if fault == "" {
		s.open[c.Slot] = true
	}
	return fault
}

// write is the only writer to out. A slot is free before its report is written:
// the next command for it may come at once. Reports that are there are written
// in one go.
func (s *server) write(out io.Writer) error {
	frames := []byte{byte(s.Limit)}
	_, err := out.Write(frames)
	for r := range s.reports {
		frames = s.settle(frames[:0], r)
		for len(frames) < batch && len(s.reports) > 0 {
			frames = s.settle(frames, <-s.reports) // nobody else takes from it
		}
		if err == nil {
			_, err = out.Write(frames)
		}
	}
	return err
}

// settle frees a report's slot and appends the frame.
func (s *server) settle(frames []byte, r answer) []byte {
	if !r.refused {
		s.mu.Lock()
		s.open[r.slot] = false
		s.mu.Unlock()
	}
	return appendFrame(frames, r.slot, r.line)
}

// appendFrame appends a report as it travels: slot, line, NUL.
func appendFrame(b []byte, slot byte, line []byte) []byte {
	return append(append(append(b, slot), line...), 0)
}

// frame is a report as it travels.
func frame(slot byte, line []byte) []byte {
	return appendFrame(make([]byte, 0, len(line)+2), slot, line)
}

// deliver runs one delivery. What it returns is a line: not empty, without NUL.
func (s *server) deliver(ctx context.Context, t *task) []byte {
	d, fault := s.delivery(t)
	if fault != "" {
		t.row.Placed()
		return []byte(fault)
	}
	defer d.Message.Close()
	said, _, _ := bytes.Cut(s.deliverer.Deliver(ctx, d), []byte{0})
	if len(said) == 0 {
		return []byte("Zqmail-remote produced no output.\n")
	}
	return said
}

// delivery is what an order asks for, or what is wrong with it.
func (s *server) delivery(t *task) (d Delivery, fault string) {
	host, fault := t.fault()
	if fault != "" {
		return d, fault
	}
	message, fault := s.Queue.open(t.MessID)
	if fault != "" {
		return d, fault
	}
	return Delivery{Slot: t.Slot, MessID: t.MessID, Sender: t.Sender, Recipient: t.Recipient, Host: host, Message: message, Row: t.row}, ""
}
