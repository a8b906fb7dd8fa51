package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"postrider/routes"
)

// dialed is what became of one attempt to connect.
type dialed struct {
	at   int
	conn net.Conn
	err  error
}

// race connects to addrs in order, the next beginning when one has failed or
// has been silent for a while (RFC 8305 §5). It gives the first connection and
// the addresses that are left to try; those that lost the race are among them,
// their connections closed unused. conn is nil when all have failed.
func (e *Engine) race(ctx context.Context, from routes.Source, addrs []netip.AddrPort) (conn net.Conn, peer netip.AddrPort, rest []netip.AddrPort) {
	if len(addrs) == 1 {
		conn, err := e.connect(ctx, from, addrs[0])
		e.mark(ctx, addrs[0], err)
		if err != nil {
			return nil, peer, nil
		}
		return conn, addrs[0], nil
	}
	parent := ctx
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	results := make(chan dialed)
	started, running := 0, 0
	start := func() {
		at := started
		started++
		running++
		go func() {
			c, err := e.connect(ctx, from, addrs[at])
			results <- dialed{at, c, err}
		}()
	}
	start()
	next := time.NewTimer(stagger)
	defer next.Stop()
	failed := make([]bool, len(addrs))
	winner := -1
	for running > 0 {
		select {
		case <-next.C:
			if winner < 0 && started < len(addrs) {
				start()
				next.Reset(stagger)
			}
		case d := <-results:
			running--
			switch {
			case d.err == nil && winner < 0:
				winner, conn = d.at, d.conn
				e.mark(parent, addrs[d.at], nil)
				stop()
			case d.err == nil:
				d.conn.Close() // before it has said a byte
			default:
				if winner < 0 {
					failed[d.at] = true
					e.mark(parent, addrs[d.at], d.err)
				}
				if winner < 0 && started < len(addrs) {
					start()
					next.Reset(stagger)
				}
			}
		}
	}
	for i, a := range addrs {
		if i != winner && !failed[i] {
			rest = append(rest, a)
		}
	}
	if winner >= 0 {
		peer = addrs[winner]
	}
	return conn, peer, rest
}

// connect is for one address, within timeoutconnect.
func (e *Engine) connect(ctx context.Context, from routes.Source, to netip.AddrPort) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, e.Control.TimeoutConnect)
	defer stop()
	source := from.V4
	if to.Addr().Is6() {
		source = from.V6.WithZone(from.Iface) // a link-local address is of one interface
	}
	return e.Dial(ctx, source, to)
}

// mark tells tcpto what became of an attempt to connect. Only a time-out of its
// own counts there: no refusal, no lost race, no delivery called off.
func (e *Engine) mark(ctx context.Context, to netip.AddrPort, err error) {
	switch {
	case err == nil:
		e.Timeouts.Answered(to.Addr())
	case ctx.Err() == nil && isTimeout(err):
		e.Timeouts.TimedOut(to.Addr())
	}
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
}
