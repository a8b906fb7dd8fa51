package solo

import (
	"context"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Dial connects by TCP, until ctx has its deadline; that it is cancelled before
// is not noticed. A valid from is the source address. The error is a
// *net.OpError as package net makes it; one of time wraps os.ErrDeadlineExceeded.
func Dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	c := &Conn{peer: to}
	if from.IsValid() {
		c.local = netip.AddrPortFrom(from, 0)
	}
	fail := func(err error) (net.Conn, error) { return nil, c.failed("dial", err) }
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	source, target, family, err := sockaddrs(from, to)
	if err != nil {
		return fail(err)
	}
	c.fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fail(os.NewSyscallError("socket", err))
	}
	due, _ := ctx.Deadline()
	if err := c.connect(source, target, due); err != nil {
		unix.Close(c.fd)
		return fail(err)
	}
	return c, nil
}

// connect is all between socket(2) and a connection.
func (c *Conn) connect(source, target unix.Sockaddr, due time.Time) error {
	// Each flight is one write, and none may wait for the acknowledgement of the
	// one before (RFC 1122 §4.2.3.4 lets it).
	if err := unix.SetsockoptInt(c.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if source != nil {
		if err := unix.Bind(c.fd, source); err != nil {
			return os.NewSyscallError("bind", err)
		}
	}
	err := unix.Connect(c.fd, target)
	if err == unix.EINPROGRESS || err == unix.EINTR {
		if err := wait(c.fd, unix.POLLOUT, due); err != nil {
			return err
		}
		code, e := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		if err = e; e == nil && code != 0 {
			err = syscall.Errno(code)
		}
	}
	if err != nil {
		return os.NewSyscallError("connect", err)
	}
	return c.notItself()
}

// notItself: a connection to a port of this machine that nobody listens on may,
// by chance, be given that very port as its own, and reach itself (RFC 9293
// §3.5). Ports below 1024 are never given.
func (c *Conn) notItself() error {
	if c.peer.Port() < 1024 {
		return nil
	}
	own, err := unix.Getsockname(c.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	if addrPort(own) == netip.AddrPortFrom(c.peer.Addr().WithZone(""), c.peer.Port()) {
		return os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	return nil
}

// sockaddrs gives both ends in the kernel's terms; source is nil for any.
func sockaddrs(from netip.Addr, to netip.AddrPort) (source, target unix.Sockaddr, family int, err error) {
	target, family = sockaddr(to)
	if from.IsValid() {
		var other int
		if source, other = sockaddr(netip.AddrPortFrom(from, 0)); other != family {
			err = os.NewSyscallError("bind", syscall.EAFNOSUPPORT)
		}
	}
	return source, target, family, err
}

func sockaddr(a netip.AddrPort) (unix.Sockaddr, int) {
	addr := a.Addr().Unmap()
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: addr.As4()}, unix.AF_INET
	}
	sa := &unix.SockaddrInet6{Port: int(a.Port()), Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		sa.ZoneId = zoneID(zone)
	}
	return sa, unix.AF_INET6
}

// zoneID is the number of an interface that is called by its name or its number,
// as package net has it. No interface is 0: only a link-local address needs one,
// and there the kernel will say so.
func zoneID(zone string) uint32 {
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	n, _ := strconv.ParseUint(zone, 10, 31)
	return uint32(n)
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
