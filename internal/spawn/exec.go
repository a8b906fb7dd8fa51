package spawn

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/report"
)

// Exec is the Deliverer that runs qmail-remote once for each delivery, as stock
// qmail-rspawn does: "name host sender recipient", the message as descriptor 0,
// one pipe as 1 and 2, working directory and environment ours, SIGCHLD blocked,
// and SIGPIPE ignored if it is so here.
//
// Not as stock: when we end, a qmail-remote ends with us. Front reports it as
// crashed, so the message will be sent again, and must not still be on its way.
type Exec struct {
	Name string // argv[0]
	// Program is searched in Path if it has no slash, as execvp(3) does.
	Program string
	Path    string // as the environment variable PATH
}

// Deliver implements Deliverer.
func (e *Exec) Deliver(ctx context.Context, d Delivery) []byte {
	out, theirs, err := os.Pipe()
	if err != nil {
		return []byte("Zqmail-spawn unable to create pipe. (#4.3.0)\n")
	}
	defer out.Close()
	p, err := e.start([]string{e.Name, d.Host, d.Sender, d.Recipient}, []*os.File{d.Message, theirs, theirs})
	theirs.Close()
	if err != nil {
		return report.Collapse(execFailure(err), nil)
	}
	stop := context.AfterFunc(ctx, func() {
		p.Kill()
		out.SetReadDeadline(time.Unix(1, 0)) // whoever else has the pipe
	})
	defer stop()
	var digest report.Digest
	buf := make([]byte, 1024)
	for err == nil { // to the end, which comes when nobody has the pipe any more
		var n int
		n, err = out.Read(buf)
		digest.Write(buf[:n])
	}
	state, err := p.Wait()
	if err != nil {
		return []byte(crashed)
	}
	return digest.Line(state.ExitCode())
}

// start starts the program, wherever it is. The error is the one that execvp(3)
// would give.
func (e *Exec) start(args []string, files []*os.File) (*os.Process, error) {
	if strings.Contains(e.Program, "/") {
		return run(e.Program, args, files)
	}
	err := error(syscall.ENOENT)
	for _, dir := range strings.Split(e.Path, ":") {
		if dir == "" {
			dir = "."
		}
		p, failed := run(dir+"/"+e.Program, args, files)
		switch {
		case failed == nil:
			return p, nil
		case errors.Is(failed, syscall.EACCES):
			err = failed // unless it is found elsewhere
		case !errors.Is(failed, syscall.ENOENT) && !errors.Is(failed, syscall.ENOTDIR):
			return nil, failed
		}
	}
	return nil, err
}

// run starts the file path, by the shell if the kernel does not know what it
// is: scripts without #! have always worked for QMAILREMOTE.
func run(path string, args []string, files []*os.File) (*os.Process, error) {
	p, err := startBlocked(path, args, files)
	if errors.Is(err, syscall.ENOEXEC) {
		return startBlocked("/bin/sh", append([]string{"/bin/sh", path}, args[1:]...), files)
	}
	return p, err
}

// startBlocked starts a program with SIGCHLD blocked. Compat(qmail): spawn forks
// so, and some wrappers may count on it.
func startBlocked(path string, args []string, files []*os.File) (*os.Process, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var chld, old unix.Sigset_t
	chld.Val[0] = 1 << (uint(syscall.SIGCHLD) - 1)
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, &chld, &old); err != nil {
		return nil, err
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, &old, nil)
	return os.StartProcess(path, args, &os.ProcAttr{Files: files, Sys: &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}})
}

// execFailure is the exit code of stock's child that could not become
// qmail-remote: 111 where another time may do, 100 where none will.
func execFailure(err error) int {
	var e syscall.Errno
	if !errors.As(err, &e) {
		return 111
	}
	switch e {
	case syscall.EINTR, syscall.ENOMEM, syscall.ETXTBSY, syscall.EIO, syscall.ETIMEDOUT, syscall.EAGAIN, syscall.EDEADLK,
		syscall.EBUSY, syscall.ENFILE, syscall.EMFILE, syscall.EFBIG, syscall.ENOSPC, syscall.ENETDOWN, syscall.ENETUNREACH,
		syscall.ENETRESET, syscall.ECONNABORTED, syscall.ECONNRESET, syscall.ENOBUFS, syscall.ETOOMANYREFS,
		syscall.ECONNREFUSED, syscall.EHOSTDOWN, syscall.EHOSTUNREACH, syscall.EUSERS, syscall.EDQUOT, syscall.ESTALE, syscall.ENOLCK:
		return 111
	}
	return 100
}
