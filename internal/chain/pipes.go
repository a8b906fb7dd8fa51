package chain

import (
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/fdconn"
)

// pipes is what connects us with the helpers. Our ends are Files with the
// poller behind them, so that closing one wakes who waits on it.
type pipes struct {
	job, policy *os.File // we write
	result      *os.File // a socket: we read, and write one byte
	stderr      *os.File // we read
	null        int
	theirs      struct{ job, policy, result, stderr int }
}

func openPipes() (*pipes, error) {
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/null", err)
	}
	p := &pipes{null: null}
	p.theirs.job, p.theirs.policy, p.theirs.result, p.theirs.stderr = -1, -1, -1, -1
	for _, w := range []struct {
		theirs *int
		ours   **os.File
		make   func() (ours, theirs int, err error)
	}{
		{&p.theirs.job, &p.job, toThem}, {&p.theirs.policy, &p.policy, toThem},
		{&p.theirs.result, &p.result, bothWays}, {&p.theirs.stderr, &p.stderr, toUs},
	} {
		ours, theirs, err := w.make()
		if err != nil {
			p.closeTheirs()
			p.closeOurs()
			return nil, err
		}
		*w.theirs = theirs
		syscall.SetNonblock(ours, true) // of our end alone: each has its own description
		*w.ours = os.NewFile(uintptr(ours), "pipe")
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
		if fd >= 0 {
			syscall.Close(fd)
		}
	}
}

func (p *pipes) closeOurs() {
	for _, f := range []*os.File{p.job, p.policy, p.result, p.stderr} {
		if f != nil {
			f.Close()
		}
	}
}

// feed writes b and closes f. A helper that is gone reads no more; what became
// of it is seen elsewhere.
func feed(f *os.File, b []byte) {
	f.Write(b)
	f.Close()
}

// startUnblocked starts c with no signal blocked: qmail-rspawn keeps SIGCHLD
// blocked while it starts us, and a child has the mask of the thread that forks.
// A signal that we were started to ignore is set to its default by Start.
func startUnblocked(c fdconn.Child) (int, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var none, old unix.Sigset_t
	if err := unix.PthreadSigmask(unix.SIG_SETMASK, &none, &old); err != nil {
		return 0, err
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	return c.Start()
}
