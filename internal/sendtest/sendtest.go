// Package sendtest is qmail-send's part of the conversation with qmail-rspawn.
// It does not know mail. Production code never imports it.
package sendtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"postrider/internal/spawn"
)

// Sender orders deliveries and hears of them. One goroutine orders.
type Sender struct {
	in   io.WriteCloser
	free chan byte
	done chan error // closed when qmail-rspawn says no more; before, what went wrong

	mu   sync.Mutex
	open map[byte]func(line string) // slots; guarded by mu
}

// New hears qmail-rspawn's limit.
func New(in io.WriteCloser, out io.Reader) (*Sender, error) {
	r := bufio.NewReader(out)
	limit, err := r.ReadByte()
	if err != nil {
		return nil, err
	}
	s := &Sender{in: in, free: make(chan byte, limit), done: make(chan error, 1), open: map[byte]func(string){}}
	for slot := range limit {
		s.free <- slot
	}
	go func() { // ends with qmail-rspawn
		defer close(s.done)
		if err := s.listen(r); err != nil {
			s.done <- err
		}
	}()
	return s, nil
}

// Order waits for a slot and orders a delivery. Told hears its report, without
// slot and NUL, once, from another goroutine.
func (s *Sender) Order(messid, sender, recipient string, told func(line string)) error {
	var slot byte
	select {
	case err := <-s.done:
		return errors.Join(err, io.ErrUnexpectedEOF)
	case slot = <-s.free:
	}
	s.mu.Lock()
	s.open[slot] = told
	s.mu.Unlock()
	c := spawn.Command{Slot: slot, MessID: messid, Sender: sender, Recipient: recipient}
	_, err := s.in.Write(c.AppendTo(nil))
	return err
}

// End orders no more, and waits until qmail-rspawn has said all. It is an error
// if a report was doubled, cut, or is missing.
func (s *Sender) End() error {
	err := s.in.Close()
	err = errors.Join(err, <-s.done)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) > 0 {
		err = errors.Join(err, fmt.Errorf("%d deliveries without a report", len(s.open)))
	}
	return err
}

func (s *Sender) listen(r *bufio.Reader) error {
	for {
		slot, err := r.ReadByte()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		line, err := r.ReadString(0)
		if err != nil {
			return fmt.Errorf("half a report for slot %d: %q", slot, line)
		}
		s.mu.Lock()
		told := s.open[slot]
		delete(s.open, slot)
		s.mu.Unlock()
		if told == nil {
			return fmt.Errorf("slot %d is not open: %q", slot, line)
		}
		told(strings.TrimSuffix(line, "\x00"))
		s.free <- slot
	}
}
