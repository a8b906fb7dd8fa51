package main

import (
	"bytes"
	"io"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/chain"
	"postrider/internal/control"
	"postrider/internal/home"
	"postrider/internal/report"
	"postrider/internal/solo"
	"postrider/remote"
	"postrider/resolver"
)

// wire makes an engine of the control files. Without one, the outcome says why.
func wire(bin func() string) (*remote.Engine, report.Outcome) {
	dir := home.Dir()
	if s, err := os.Stat(dir); err != nil || !s.IsDir() {
		return nil, report.Outcome{Cause: report.NoHome}
	}
	s, err := control.Load(control.Dir(dir), dir)
	if err != nil {
		return nil, report.Outcome{Cause: report.UnreadableControl, Detail: control.Blame(err)}
	}
	e := remote.New(dir, s, resolver.NewAlone(resolvers()), &chain.Chain{Dir: bin, Heard: func() bool { return !deaf(1) }})
	e.DialAlone = solo.Dial
	listed := e.Own
	e.Own = func(a netip.Addr) bool { return !solo.Away(a) && listed(a) }
	return e, report.Outcome{}
}

func resolvers() resolver.Config {
	var conf io.Reader
	// Not by os.Open, which starts the runtime's event queue.
	if text, err := control.Dir("/etc").ReadFile("resolv.conf"); err == nil {
		conf = bytes.NewReader(text)
	}
	return resolver.LoadConfig(conf, os.Getenv("DNSCACHEIP"))
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
