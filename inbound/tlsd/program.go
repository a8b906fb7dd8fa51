package tlsd

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Program is the program's end: two pipes of cleartext. It is a side of a pump.
type Program struct {
	in, out *os.File // what the program writes, what it reads
	gone    chan struct{}
}

// NewProgram takes our ends of the pipes: in is read, out is written.
func NewProgram(in, out int) (*Program, error) {
	for _, fd := range [2]int{in, out} {
		if err := syscall.SetNonblock(fd, true); err != nil {
			return nil, os.NewSyscallError("fcntl", err)
		}
		syscall.CloseOnExec(fd)
	}
	p := &Program{
		in: os.NewFile(uintptr(in), "from the program"), out: os.NewFile(uintptr(out), "to the program"),
		gone: make(chan struct{}),
	}
	go p.watch() // ends with the program, or with us
	return p, nil
}

// watch closes p.gone when nobody has the program's ends any more. Neither end
// of file nor a broken pipe tells so in time: a program that has ended its
// output may go on reading, and what is never written never breaks.
func (p *Program) watch() {
	hangsUp(p.in, unix.POLLHUP, -1)
	hangsUp(p.out, unix.POLLERR, -1)
	close(p.gone)
}

// deaf reports, of a program that has ended its output, whether it hears us no
// more either. It waits a moment: a process that exits closes one after another.
func (p *Program) deaf() bool { return hangsUp(p.out, unix.POLLERR, 20) }

// hangsUp waits, so many milliseconds or for ever, until the other end of f is
// closed, or f itself is.
func hangsUp(f *os.File, sign int16, wait int) bool {
	raw, err := f.SyscallConn()
	if err != nil {
		return true
	}
	gone := true // unless we learn more: f is closed
	raw.Control(func(fd uintptr) {
		for again := true; again; {
			// No events are asked for: the sign comes unasked (poll(2)).
			fds := []unix.PollFd{{Fd: int32(fd)}}
			_, err := unix.Poll(fds, wait)
			gone = fds[0].Revents&sign != 0
			again = err == unix.EINTR
		}
	})
	return gone
}

func (p *Program) Read(b []byte) (int, error)  { return p.in.Read(b) }
func (p *Program) Write(b []byte) (int, error) { return p.out.Write(b) }
func (p *Program) CloseRead() error            { return p.in.Close() }
func (p *Program) CloseWrite() error           { return p.out.Close() }

// Gone is closed when the program has ended, or has closed both ways.
func (p *Program) Gone() <-chan struct{} { return p.gone }
