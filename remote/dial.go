package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"postrider/internal/report"
	"postrider/routes"
)

// dialed is what became of one attempt to connect.
type dialed struct {
	at   int
	conn net.Conn
	err  error
}

type dialer = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)

// race connects to addrs in order, the next beginning when one has failed or
// has been silent for a while (RFC 8305 §5). It gives the first connection and
// the addresses that are left to try; those that lost the race are among them,
// their connections closed unused. conn is nil when all have failed.
func (t *trial) race(ctx context.Context, addrs []netip.AddrPort) (conn net.Conn, peer netip.AddrPort, rest []netip.AddrPort) {
	if len(addrs) == 1 {
		conn, err := t.alone(ctx, t.from, addrs[0])
		t.mark(ctx, addrs[0], err)
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
			c, err := t.connect(ctx, t.from, addrs[at])
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
				t.mark(parent, addrs[d.at], nil)
				stop()
			case d.err == nil:
				d.conn.Close() // before it has said a byte
			default:
				if winner < 0 {
					failed[d.at] = true
					t.mark(parent, addrs[d.at], d.err)
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

// alone is connect for where nothing else goes on beside it.
func (e *Engine) alone(ctx context.Context, from *routes.Source, to netip.AddrPort) (net.Conn, error) {
	if e.DialAlone == nil {
		return e.connect(ctx, from, to)
	}
	return e.within(ctx, e.DialAlone, from, to)
}

// connect is for one address, within timeoutconnect.
func (e *Engine) connect(ctx context.Context, from *routes.Source, to netip.AddrPort) (net.Conn, error) {
	return e.within(ctx, e.Dial, from, to)
}

func (e *Engine) within(ctx context.Context, dial dialer, from *routes.Source, to netip.AddrPort) (net.Conn, error) {
	ctx, stop := context.WithTimeout(ctx, e.Control.TimeoutConnect)
	defer stop()
	return dial(ctx, source(from, to), to)
}

// source is the address that control/domainips has for a connection.
func source(from *routes.Source, to netip.AddrPort) netip.Addr {
	if to.Addr().Is6() {
		return from.V6.WithZone(from.Iface) // a link-local address is of one interface
	}
	return from.V4
}

// mark tells tcpto what became of an attempt to connect. Only a time-out of its
// own counts there: no refusal, no lost race, no delivery called off.
func (t *trial) mark(ctx context.Context, to netip.AddrPort, err error) {
	switch {
	case err == nil:
		t.timeouts.Answered(to.Addr())
	case ctx.Err() == nil && isTimeout(err):
		t.timeouts.TimedOut(to.Addr())
	}
	if o := ownFault(err, source(t.from, to)); o != nil {
		t.ours = o
	}
}

// ownFault is what is to be said when an attempt to connect failed on this side
// of the line, or nil.
func ownFault(err error, from netip.Addr) *report.Outcome {
	for _, scarce := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRINUSE} {
		if errors.Is(err, scarce) {
			return &report.Outcome{Cause: report.NoResources}
		}
	}
	var call *os.SyscallError
	if errors.As(err, &call) && call.Syscall == "bind" {
		return &report.Outcome{Cause: report.NoSource, Detail: from.String() + ": " + call.Err.Error()}
	}
	return nil
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
}
