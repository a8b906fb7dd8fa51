package tlsd

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is the program's end: two pipes of cleartext. It is a side of a pump.
type Program struct {
	in, out end // what the program writes, what it reads
	gone    chan struct{}
}

// end is our end of a pipe.
type end struct {
	*os.File
	closing *os.File // readable when we want to close it: who polls must let go first
}

// NewProgram takes our ends of the pipes: in is read, out is written.
func NewProgram(in, out int) (*Program, error) {
	p := &Program{gone: make(chan struct{})}
	var err error
	if p.in, err = newEnd(in, "from the program"); err != nil {
		return nil, err
	}
	if p.out, err = newEnd(out, "to the program"); err != nil {
		return nil, err
	}
	go p.watch() // ends with the program, or with us
	return p, nil
}

func newEnd(fd int, name string) (end, error) {
	if err := syscall.SetNonblock(fd, true); err != nil {
		return end{}, os.NewSyscallError("fcntl", err)
	}
	syscall.CloseOnExec(fd)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return end{}, os.NewSyscallError("eventfd", err)
	}
	return end{os.NewFile(uintptr(fd), name), os.NewFile(uintptr(event), "closing")}, nil
}

// watch closes p.gone when nobody has the program's ends any more. Neither end
// of file nor a broken pipe tells so in time: a program that has ended its
// output may go on reading, and what is never written never breaks.
func (p *Program) watch() {
	p.in.hangsUp(unix.POLLHUP, -1)
	p.out.hangsUp(unix.POLLERR, -1)
	close(p.gone)
}

// deaf reports, of a program that has ended its output, whether it hears us no
// more either. It waits a moment: a process that exits closes one after another.
func (p *Program) deaf() bool { return p.out.hangsUp(unix.POLLERR, 20) }

// hangsUp waits, so many milliseconds or for ever, until the other end of e is
// closed, or e itself is.
func (e end) hangsUp(sign int16, wait int) bool {
	raw, err := e.SyscallConn()
	if err != nil {
		return true
	}
	gone := true // unless we learn more: e is closed
	raw.Control(func(fd uintptr) {
		for again := true; again; {
			// No events are asked for: the sign comes unasked (poll(2)).
			fds := []unix.PollFd{{Fd: int32(fd)}, {Fd: int32(e.closing.Fd()), Events: unix.POLLIN}}
			_, err := unix.Poll(fds, wait)
			gone = fds[0].Revents&sign != 0 || fds[1].Revents != 0
			again = err == unix.EINTR
		}
	})
	return gone
}

func (e end) close() error {
	e.closing.Write([]byte{1, 0, 0, 0, 0, 0, 0, 0}) // any number but none
	return e.File.Close()
}

func (p *Program) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *Program) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p *Program) CloseRead() error            { return p.in.close() }
func (p *Program) CloseWrite() error           { return p.out.close() }

// Gone is closed when the program has ended, or has closed both ways.
func (p *Program) Gone() <-chan struct{} { return p.gone }
