package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/chain"
	"postrider/internal/control"
	_ "postrider/internal/entry"
	"postrider/internal/home"
	"postrider/internal/report"
	"postrider/remote"
	"postrider/resolver"
	"postrider/routes"
	"postrider/tcpto"
	"postrider/tlspolicy"
)

// wire makes an engine of the control files. Without one, the outcome says why.
func wire(bin string) (*remote.Engine, report.Outcome) {
	dir := home.Dir()
	if s, err := os.Stat(dir); err != nil || !s.IsDir() {
		return nil, report.Outcome{Cause: report.NoHome}
	}
	s, err := control.Load(control.Dir(dir), dir)
	if err != nil {
		return nil, report.Outcome{Cause: report.UnreadableControl, Detail: detail(err)}
	}
	run := dir + "/run/qmail-remote/"
	return &remote.Engine{
		Control:     s,
		Resolver:    resolver.New(resolvers(), nil),
		Routes:      routes.OpenSMTP(dir+"/control/smtproutes", run+"smtproutes.cdb", run+"smtproutes.lock"),
		AuthSenders: routes.ParseAuthSenders(s.AuthSenders),
		DomainIPs:   routes.ParseDomainIPs(s.DomainIPs),
		QMTPRoutes:  routes.ParseQMTP(s.QMTPRoutes),
		Timeouts:    tcpto.Open(dir+"/queue/lock/tcpto", run+"tcpto6", time.Now),
		TLS: tlspolicy.New(tlspolicy.Config{Home: dir, Anchors: s.TrustAnchors, Strictness: s.Strictness,
			ClientCert: s.ClientCert, ClientKey: s.ClientKey,
			Destinations: s.TLSDestinations, DomainCerts: s.DomainCerts, Hosts: os.DirFS(dir + "/control")}),
		UnderTLS:   &chain.Chain{Dir: bin},
		Dial:       dial,
		Interfaces: interfaces,
	}, report.Outcome{}
}

// detail names a control file that stock qmail does not know, and the line; for
// stock's own files the report stays stock's.
func detail(err error) string {
	var e *control.Error
	if errors.As(err, &e) && e.File != "control/me" {
		return e.Error()
	}
	return ""
}

func resolvers() resolver.Config {
	var conf io.Reader
	if f, err := os.Open("/etc/resolv.conf"); err == nil {
		defer f.Close()
		conf = f
	}
	return resolver.LoadConfig(conf, os.Getenv("DNSCACHEIP"))
}

// dial connects without keep-alives: timeoutremote notices a dead peer sooner.
// A source address is bound only where one is asked for, so that the kernel
// chooses address and port as it likes (NAT, many connections at once).
func dial(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{KeepAlive: -1}
	if from.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

func interfaces() []netip.Addr {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // control/ipme remains
	}
	var own []netip.Addr
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own
}

// isPlaceholder recognizes what the Go runtime opens for a closed descriptor.
func isPlaceholder(f *os.File) bool {
	flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0)
	if err != nil || flags&unix.O_ACCMODE != unix.O_RDWR {
		return false
	}
	var s, null unix.Stat_t
	return unix.Fstat(int(f.Fd()), &s) == nil && unix.Stat("/dev/null", &null) == nil && s.Rdev == null.Rdev && s.Mode&unix.S_IFMT == unix.S_IFCHR
}

// write puts all of b on descriptor 1, which may be non-blocking and full. It
// does not go through os.Stdout, where a closed pipe would kill the program.
func write(b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(1, b)
		switch {
		case err == syscall.EAGAIN:
			if _, err := unix.Poll([]unix.PollFd{{Fd: 1, Events: unix.POLLOUT}}, -1); err != nil && err != syscall.EINTR {
				return err
			}
		case err == syscall.EINTR:
		case err != nil:
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}
