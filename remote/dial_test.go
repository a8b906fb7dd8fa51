package remote

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/control"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/routes"
)

// peers is a network of addresses: how long each takes to answer, and how.
type peers map[string]struct {
	after time.Duration
	err   error
}

// fakeConn remembers that it was closed.
type fakeConn struct {
	net.Conn
	closed *[]string
	name   string
}

func (c fakeConn) Close() error { *c.closed = append(*c.closed, c.name); return nil }

// timeouts is a tcpto table in memory.
type timeouts struct{ blocked, timedOut, answered []string }

func (t *timeouts) Blocked(a netip.Addr) bool { return slices.Contains(t.blocked, a.String()) }
func (t *timeouts) TimedOut(a netip.Addr)     { t.timedOut = append(t.timedOut, a.String()) }
func (t *timeouts) Answered(a netip.Addr)     { t.answered = append(t.answered, a.String()) }

func (p peers) dial(closed *[]string) func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	return func(ctx context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
		peer, known := p[to.Addr().String()]
		if !known {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(peer.after):
		}
		if peer.err != nil {
			return nil, peer.err
		}
		return fakeConn{closed: closed, name: to.Addr().String()}, nil
	}
}

func addrPorts(addrs ...string) (list []netip.AddrPort) {
	for _, a := range addrs {
		list = append(list, netip.AddrPortFrom(netip.MustParseAddr(a), 25))
	}
	return list
}

func strs(list []netip.AddrPort) (s []string) {
	for _, a := range list {
		s = append(s, a.Addr().String())
	}
	return s
}

// TestRace: who wins, how long it takes, who is left, and what tcpto hears.
func TestRace(t *testing.T) {
	const v6, v4, other = "2001:db8::1", "192.0.2.1", "192.0.2.2"
	refused := syscall.ECONNREFUSED
	for _, c := range []struct {
		name     string
		net      peers
		addrs    []string
		winner   string
		rest     []string
		timedOut []string
		took     time.Duration
	}{
		{"the first answers", peers{v6: {time.Millisecond, nil}, v4: {}}, []string{v6, v4}, v6, []string{v4}, nil, time.Millisecond},
		{"IPv6 is a black hole (C23)", peers{v4: {time.Millisecond, nil}}, []string{v6, v4}, v4, []string{v6}, nil, stagger + time.Millisecond},
		{"a refusal starts the next at once", peers{v6: {0, refused}, v4: {}}, []string{v6, v4}, v4, nil, nil, 0},
		{"the slow first wins over the slower second", peers{v6: {300 * time.Millisecond, nil}, v4: {time.Second, nil}}, []string{v6, v4}, v6, []string{v4}, nil, 300 * time.Millisecond},
		{"all refuse", peers{v6: {0, refused}, v4: {0, refused}}, []string{v6, v4}, "", nil, nil, 0},
		{"all time out", peers{}, []string{v6, v4}, "", nil, []string{v6, v4}, time.Minute + stagger},
		{"alone and silent", peers{}, []string{v4}, "", nil, []string{v4}, time.Minute},
		{"the kernel says time-out", peers{v4: {time.Second, os.NewSyscallError("connect", syscall.ETIMEDOUT)}}, []string{v4}, "", nil, []string{v4}, time.Second},
		{"three of a host", peers{other: {}}, []string{v6, v4, other}, other, []string{v6, v4}, nil, 2 * stagger},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var closed []string
				to := &timeouts{}
				tr := &trial{from: &routes.Source{}, timeouts: to, Engine: &Engine{Control: control.Snapshot{TimeoutConnect: time.Minute}, Timeouts: to, Dial: c.net.dial(&closed)}}
				start := time.Now()
				conn, peer, rest := tr.race(t.Context(), addrPorts(c.addrs...))
				if took := time.Since(start); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				var winner string
				if conn != nil {
					winner = peer.Addr().String()
				}
				if winner != c.winner || !slices.Equal(strs(rest), c.rest) || !slices.Equal(to.timedOut, c.timedOut) {
					t.Errorf("winner %q, rest %v, timed out %v; want %q, %v, %v", winner, strs(rest), to.timedOut, c.winner, c.rest, c.timedOut)
				}
				if slices.Contains(closed, winner) {
					t.Error("the winner was closed")
				}
			})
		})
	}
}

// TestRaceLoserIsClosed: two answer in the same instant; one is closed unused.
func TestRaceLoserIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed []string
		p := peers{"192.0.2.1": {stagger, nil}, "192.0.2.2": {0, nil}}
		tr := &trial{from: &routes.Source{}, timeouts: &timeouts{}, Engine: &Engine{Control: control.Snapshot{TimeoutConnect: time.Minute}, Timeouts: &timeouts{}, Dial: p.dial(&closed)}}
		conn, peer, rest := tr.race(t.Context(), addrPorts("192.0.2.1", "192.0.2.2"))
		if conn == nil || len(rest) != 1 {
			t.Fatalf("conn %v, rest %v", conn, rest)
		}
		if len(closed) > 1 || len(closed) == 1 && closed[0] == peer.Addr().String() {
			t.Errorf("closed %v, winner %v", closed, peer)
		}
	})
}

// TestRaceCancelled: a delivery that is called off leaves no mark in tcpto.
func TestRaceCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed []string
		to := &timeouts{}
		tr := &trial{from: &routes.Source{}, timeouts: to, Engine: &Engine{Control: control.Snapshot{TimeoutConnect: time.Minute}, Timeouts: to, Dial: peers{}.dial(&closed)}}
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if conn, _, _ := tr.race(ctx, addrPorts("192.0.2.1", "192.0.2.2")); conn != nil {
			t.Error("a connection out of nothing")
		}
		if len(to.timedOut) != 0 {
			t.Errorf("tcpto heard of %v", to.timedOut)
		}
	})
}

func TestIsTimeout(t *testing.T) {
	for err, want := range map[error]bool{
		context.DeadlineExceeded:                  true,
		context.Canceled:                          false,
		syscall.ECONNREFUSED:                      false,
		syscall.EHOSTUNREACH:                      false,
		syscall.ETIMEDOUT:                         true,
		&net.OpError{Err: os.ErrDeadlineExceeded}: true,
		errors.New("timeout"):                     false,
	} {
		if got := isTimeout(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// TestOwnFault: what keeps us from connecting on our own side is said, and
// bounces nothing, whatever other hosts say.
func TestOwnFault(t *testing.T) {
	const first, second = "192.0.2.1", "192.0.2.2"
	bind := &net.OpError{Op: "dial", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}
	socket := func(err error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", err)} }
	for _, c := range []struct {
		name  string
		errs  []error // of the addresses, one host each
		cause report.Cause
	}{
		{"descriptors of ours", []error{socket(syscall.EMFILE)}, report.NoResources},
		{"descriptors of all", []error{socket(syscall.ENFILE)}, report.NoResources},
		{"buffers", []error{socket(syscall.ENOBUFS)}, report.NoResources},
		{"memory", []error{socket(syscall.ENOMEM)}, report.NoResources},
		{"ports", []error{&net.OpError{Op: "dial", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}}, report.NoResources},
		{"source", []error{bind}, report.NoSource},
		{"no IPv6 here", []error{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}}, report.NoConnection},
		{"forbidden", []error{&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EPERM)}}, report.NoConnection},
		{"the first refuses", []error{syscall.ECONNREFUSED, socket(syscall.EMFILE)}, report.NoResources},
		{"the second refuses", []error{socket(syscall.EMFILE), syscall.ECONNREFUSED}, report.NoResources},
	} {
		for _, apart := range []bool{true, false} { // a host each, or all of one host
			synctest.Test(t, func(t *testing.T) {
				p := peers{}
				var cands []Candidate
				for i, a := range addrPorts(first, second)[:len(c.errs)] {
					p[a.Addr().String()] = struct {
						after time.Duration
						err   error
					}{0, c.errs[i]}
					if apart || i == 0 {
						cands = append(cands, Candidate{})
					}
					last := &cands[len(cands)-1]
					last.Addrs = append(last.Addrs, a)
				}
				to := &timeouts{}
				e := &Engine{Control: control.Snapshot{TimeoutConnect: time.Minute}, Timeouts: to, Dial: p.dial(new([]string))}
				from := routes.Source{V4: netip.MustParseAddr("192.0.2.99")}
				o := e.Carry(t.Context(), &Plan{from: from, cands: cands}, &Job{Message: &smtp.Message{}})
				if o.Cause != c.cause || len(to.timedOut) > 0 {
					t.Errorf("%s: %+v; timed out %v", c.name, o, to.timedOut)
				}
			})
		}
	}
}
