package fdconn

import (
	"slices"
	"syscall"
)

// Closed is an entry of Child.Files for a descriptor the child shall not have.
const Closed = -1

// Child is a program to start. It replaces os/exec in the programs that live
// for one delivery: nothing here costs start-up time.
type Child struct {
	Path string   // not searched in PATH
	Args []string // the program's name first
	Env  []string
	Dir  string // where it runs, and what a relative Path is below; "": where we are
	// Files[i] is our descriptor that becomes the child's descriptor i, or
	// Closed. Above them the child gets what we have without close-on-exec.
	Files []int
	// Group makes the child the leader of a process group of its own, so that
	// it can be ended with all that it started: Kill.
	Group bool
	// Bound ends the child by SIGKILL when we end (prctl(2), PR_SET_PDEATHSIG).
	Bound bool
}

// Start starts the program and returns its process id. Signals that we handle
// or ignore have their default action in the child, except a signal that was
// ignored before we began and that Go leaves so (SIGHUP and SIGINT, for nohup).
// The child's signal mask is that of the calling thread; Go's threads have the one
// that we began with, but for signals that it unblocks: SIGCHLD, which qmail-rspawn
// keeps blocked while it starts us, is one of these (os/signal).
func (c Child) Start() (int, error) {
	files := make([]uintptr, len(c.Files))
	for i, fd := range c.Files {
		files[i] = uintptr(fd)
	}
	attr := syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: &syscall.SysProcAttr{Setpgid: c.Group}}
	if c.Bound {
		attr.Sys.Pdeathsig = syscall.SIGKILL
	}
	return syscall.ForkExec(c.Path, c.Args, &attr)
}

// Inherited lists descriptors 0 to n-1 as Child.Files: those that came to us
// from our parent stay what they are, others are Closed. Whatever Go or we have
// opened is close-on-exec and does not count.
func Inherited(n int) []int {
	files := make([]int, n)
	for fd := range files {
		files[fd] = Closed
		if flags, ok := descriptorFlags(fd); ok && flags&syscall.FD_CLOEXEC == 0 {
			files[fd] = fd
		}
	}
	return files
}

func descriptorFlags(fd int) (flags uintptr, open bool) {
	flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
	return flags, e == 0
}

// Wait waits for the child to end and gives its exit status as a shell would:
// the code, or 128 and the number of the signal that ended it.
func Wait(pid int) (int, error) {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &ws, 0, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return 0, err
		}
		if ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return ws.ExitStatus(), nil
	}
}

// inheritable is the number of descriptors that LetGo looks at: a UCSPI program
// is given a few low ones.
const inheritable = 64

// LetGo closes our copies of all inherited descriptors but 2 and those kept, so
// that who reads or writes their other ends sees the child's end as the end. On
// 0 and 1 it puts /dev/null, which nothing opened later can then replace.
func LetGo(keep ...int) {
	if null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0); err == nil {
		syscall.Dup3(null, 0, 0)
		syscall.Dup3(null, 1, 0)
		syscall.Close(null)
	}
	for fd := 3; fd < inheritable; fd++ {
		if flags, ok := descriptorFlags(fd); ok && flags&syscall.FD_CLOEXEC == 0 && !slices.Contains(keep, fd) {
			syscall.Close(fd)
		}
	}
}

// WriteAll writes all of b to a blocking descriptor, without os.File, which
// would die of a broken pipe on 1.
func WriteAll(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := syscall.Write(fd, b)
		if err != nil && err != syscall.EINTR {
			return err
		}
		b = b[max(n, 0):]
	}
	return nil
}
