package fixsmtpio

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/inbound"
	"postrider/internal/fdconn"
)

const closed = -1

// kid is the server that runs below us, on two pipes. Our ends do not block;
// its ends are pipes like any other.
type kid struct {
	pid int
	in  int // what we write it reads; or closed
	out int // what it writes we read; or closed
}

// start starts prog, found by PATH.
func start(prog []string, env inbound.Env) (*kid, error) {
	var down, up [2]int
	if err := unix.Pipe2(down[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	if err := unix.Pipe2(up[:], unix.O_CLOEXEC); err != nil {
		unix.Close(down[0])
		unix.Close(down[1])
		return nil, err
	}
	k := &kid{in: down[1], out: up[0]}
	child := fdconn.Child{Path: fdconn.Find(prog[0], env.Get("PATH")), Args: prog, Env: env, Files: []int{down[0], up[1], 2}}
	pid, err := child.Start()
	unix.Close(down[0])
	unix.Close(up[1])
	k.pid = pid
	for _, fd := range []int{k.in, k.out} {
		if err == nil {
			err = unix.SetNonblock(fd, true)
		}
	}
	if err != nil {
		k.hangUp()
		k.deafen()
		return nil, err
	}
	return k, nil
}

// Exec becomes prog, found by PATH. It returns only to say why not.
func Exec(prog []string, env inbound.Env) error {
	return syscall.Exec(fdconn.Find(prog[0], env.Get("PATH")), prog, env)
}

// hangUp ends what the kid reads.
func (k *kid) hangUp() {
	if k.in != closed {
		unix.Close(k.in)
		k.in = closed
	}
}

// deafen ends what it can write.
func (k *kid) deafen() {
	if k.out != closed {
		unix.Close(k.out)
		k.out = closed
	}
}

// write gives the kid as much of p as it takes now; an error is that it will
// take no more.
func (k *kid) write(p []byte) (int, error) {
	for {
		n, err := unix.Write(k.in, p)
		switch err {
		case nil:
			return n, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// read gives what the kid has written; 0 is the end.
func (k *kid) read(p []byte) int {
	for {
		n, err := unix.Read(k.out, p)
		if err == unix.EINTR {
			continue
		}
		return max(n, 0)
	}
}

// lastWords bounds what is read, and thrown away, of a kid that has been hung
// up on: to have it end by itself, not of a broken pipe.
const lastWords = 1 << 20

// end hangs up and waits for the kid, however long it takes: it may be putting a
// message into the queue.
func (k *kid) end() (syscall.WaitStatus, error) {
	k.hangUp()
	buf := make([]byte, 4096)
	for total := 0; k.out != closed && total < lastWords; {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(k.out), Events: unix.POLLIN}}, -1); err == unix.EINTR {
			continue
		}
		n := k.read(buf)
		if total += n; n == 0 {
			break
		}
	}
	k.deafen()
	return wait(k.pid)
}

func wait(pid int) (ws syscall.WaitStatus, err error) {
	for {
		if _, err = syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			return ws, err
		}
	}
}

// mercy is how long a kid may take to end when it is told to.
const mercy = 10 * time.Second

// stop ends a kid that nobody needs any more: with SIGTERM, and where that is
// not enough with SIGKILL. It has answered all it was asked, so that no message
// is in its hands.
func (k *kid) stop(mercy time.Duration) {
	k.hangUp()
	k.deafen()
	unix.Kill(k.pid, unix.SIGTERM)
	if fd, err := unix.PidfdOpen(k.pid, 0); err == nil {
		if !readable(fd, mercy) {
			unix.Kill(k.pid, unix.SIGKILL)
		}
		unix.Close(fd)
	}
	wait(k.pid)
}

// readable waits until fd has something to read, or for that long.
func readable(fd int, patience time.Duration) bool {
	deadline := time.Now().Add(patience)
	for {
		left := max(time.Until(deadline).Milliseconds(), 0)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left))
		if err != unix.EINTR {
			return n > 0
		}
	}
}
