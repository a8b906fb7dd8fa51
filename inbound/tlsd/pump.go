package tlsd

import (
	"sync"
	"time"

	"postrider/inbound/tlsd/options"
	"postrider/internal/fdconn"
)

// pump is a session at work.
type pump struct {
	*Session
	program *Program
	options options.Options
	early   bool // the peer ended before the program was gone; of the goroutine that reads
}

// Carry brings bytes both ways until both ways have ended or the program is
// gone; a peer that stands still is the program's business, while it lives. The
// error is of the kind Talk: broken TLS or, with StrictEnd, an end without
// close_notify.
func (s *Session) Carry(p *Program, o options.Options) error {
	w := &pump{Session: s, program: p, options: o}
	over := make(chan struct{})
	var ways, watch sync.WaitGroup
	watch.Go(func() { w.last(over) })
	var heard error
	ways.Go(func() {
		heard, _ = fdconn.Copy(p, w)
		if heard != nil && w.early {
			s.raw.Close() // what the program still says must not seem to arrive
		}
	})
	ways.Go(func() { fdconn.Copy(w, p) })
	ways.Wait()
	close(over)
	watch.Wait()
	s.raw.Close()
	switch {
	case !w.early:
		return nil // the program had said all; what the peer did then is nobody's business
	case heard != nil:
		return &Error{Talk, heard}
	case o.StrictEnd && s.raw.Ended():
		return &Error{Talk, errTruncated}
	}
	return nil
}

// last limits what can happen when the program is gone: nobody reads what the
// peer says, and the peer has Linger to hear what is left.
func (w *pump) last(over chan struct{}) {
	select {
	case <-over:
	case <-w.program.Gone():
		w.raw.SetWriteDeadline(time.Now().Add(w.Linger))
		w.raw.SetReadDeadline(time.Now())
	}
}

func (w *pump) isGone() bool {
	select {
	case <-w.program.Gone():
		return true
	default:
		return false
	}
}

func (w *pump) Read(b []byte) (int, error) {
	n, err := w.conn.Read(b)
	if err != nil {
		w.early = !w.isGone() // the program may end because of what we tell it next
	}
	return n, err
}

func (w *pump) Write(b []byte) (int, error) { return w.conn.Write(b) }

// CloseWrite says that we send no more: by close_notify (RFC 8446 §6.1), and in
// any case by the end of the TCP stream. To a peer of TLS 1.2 a close_notify
// means that nothing it still sends is heard (RFC 5246 §7.2.1); so, while the
// program reads on, only -S says it.
func (w *pump) CloseWrite() error {
	if w.options.CloseNotify || w.program.deaf() {
		w.conn.CloseWrite()
	}
	return w.raw.CloseWrite()
}

// CloseRead has nothing to do: TLS has no way to say that we hear no more.
func (w *pump) CloseRead() error { return nil }
