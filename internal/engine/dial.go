package engine

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"

	"postrider/internal/apart"
	"postrider/internal/observe"
)

type dialer = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)

// dialing is dial, counted, and with sockets that can be peeked at.
func dialing(dial dialer, observer *observe.Observer) dialer {
	return func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
		var c net.Conn
		var err error
		apart.Run(func() { c, err = dial(ctx, from, to) })
		observer.Dialed(err)
		tcp, ok := c.(*net.TCPConn)
		if !ok {
			return c, err
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			return tcp, nil
		}
		return &socket{TCPConn: tcp, raw: raw}, nil
	}
}

// socket is a connection of which smtpc can tell whether something has come
// without a goroutine that waits for it.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn
}

// Stirred reports whether Read would return at once.
func (s *socket) Stirred() bool {
	still := false
	err := s.raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		still = err == syscall.EAGAIN
	})
	return !still || err != nil
}

// Offer writes as much as goes without waiting, which may be nothing.
func (s *socket) Offer(p []byte) (n int, err error) {
	cerr := s.raw.Control(func(fd uintptr) {
		n, err = syscall.SendmsgN(int(fd), p, nil, nil, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
	})
	switch {
	case cerr != nil:
		return 0, cerr
	case err == syscall.EAGAIN || err == syscall.EINTR:
		return 0, nil
	case err != nil:
		return 0, os.NewSyscallError("write", err)
	}
	return n, nil
}

// Shared gives the connection to several goroutines, which it is good for as it is.
func (s *socket) Shared() (net.Conn, error) { return s, nil }
