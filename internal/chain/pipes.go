package chain

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// pipes is what connects us with the helpers. Our ends never block: one goroutine
// waits for all of them.
type pipes struct {
	job, policy feeder
	result      int // a socket: we read, and write one byte
	stderr      int // we read
	null        int
	theirs      struct{ job, policy, result, stderr int }
}

// closed stands in a descriptor's place when there is none.
const closed = -1

func openPipes() (*pipes, error) {
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/null", err)
	}
	p := &pipes{null: null, job: feeder{fd: closed}, policy: feeder{fd: closed}, result: closed, stderr: closed}
	p.theirs.job, p.theirs.policy, p.theirs.result, p.theirs.stderr = closed, closed, closed, closed
	for _, w := range []struct {
		theirs, ours *int
		make         func() (ours, theirs int, err error)
	}{
		{&p.theirs.job, &p.job.fd, toThem}, {&p.theirs.policy, &p.policy.fd, toThem},
		{&p.theirs.result, &p.result, bothWays}, {&p.theirs.stderr, &p.stderr, toUs},
	} {
		*w.ours, *w.theirs, err = w.make()
		if err != nil {
			*w.ours, *w.theirs = closed, closed
			p.closeTheirs()
			p.closeOurs()
			return nil, err
		}
		syscall.SetNonblock(*w.ours, true) // of our end alone: each has its own description
	}
	return p, nil
}

func toUs() (ours, theirs int, err error) {
	var fds [2]int
	err = os.NewSyscallError("pipe", syscall.Pipe2(fds[:], syscall.O_CLOEXEC))
	return fds[0], fds[1], err
}

func toThem() (ours, theirs int, err error) {
	theirs, ours, err = toUs()
	return ours, theirs, err
}

func bothWays() (ours, theirs int, err error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	return fds[0], fds[1], os.NewSyscallError("socketpair", err)
}

func (p *pipes) closeTheirs() {
	for _, fd := range []int{p.null, p.theirs.job, p.theirs.policy, p.theirs.result, p.theirs.stderr} {
		if fd != closed {
			syscall.Close(fd)
		}
	}
}

func (p *pipes) closeOurs() {
	for _, fd := range []*int{&p.job.fd, &p.policy.fd, &p.result, &p.stderr} {
		shut(fd)
	}
}

// shut closes a descriptor, if there is one.
func shut(fd *int) {
	if *fd != closed {
		syscall.Close(*fd)
		*fd = closed
	}
}

// feeder writes what a helper reads to its end.
type feeder struct {
	fd   int
	rest []byte
}

// feed begins to write b, which mostly goes at once, before anybody reads.
func (f *feeder) feed(b []byte) {
	f.rest = b
	f.push()
}

// push writes what goes, and ends with the last byte. A helper that is gone reads
// no more; what became of it is seen elsewhere.
func (f *feeder) push() {
	for len(f.rest) > 0 {
		n, err := syscall.Write(f.fd, f.rest)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return
		case err != nil:
			f.rest = nil
		default:
			f.rest = f.rest[n:]
		}
	}
	shut(&f.fd)
}

// wait waits until something can be done on a descriptor, or until due; zero is
// never. The helpers are fed meanwhile. It reports which of both ways from them
// has something to read, be it the end.
func (p *pipes) wait(due time.Time) (result, stderr bool) {
	for {
		ms := -1
		if !due.IsZero() {
			if ms = int(time.Until(due).Milliseconds()) + 1; ms <= 0 {
				return false, false
			}
		}
		// A negative descriptor is left alone (poll(2)).
		fds := [...]unix.PollFd{{Fd: int32(p.result), Events: unix.POLLIN}, {Fd: int32(p.stderr), Events: unix.POLLIN},
			{Fd: int32(p.job.fd), Events: unix.POLLOUT}, {Fd: int32(p.policy.fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(fds[:], ms); n <= 0 {
			if err != nil && err != unix.EINTR {
				time.Sleep(10 * time.Millisecond) // short of memory: not for ever
			}
			continue
		}
		if fds[2].Revents != 0 {
			p.job.push()
		}
		if fds[3].Revents != 0 {
			p.policy.push()
		}
		if result, stderr = fds[0].Revents != 0, fds[1].Revents != 0; result || stderr {
			return result, stderr
		}
	}
}
