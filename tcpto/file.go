package tcpto

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// patience is how long we wait for a file's lock, which others hold for
// microseconds. Stock waits for ever; but one stopped process that happens to
// hold it must not stop all mail.
const patience = 2 * time.Second

var errBusy = errors.New("locked for too long")

// file is an open and locked file. Plain system calls, because an *os.File
// costs more of them than the work itself.
type file struct {
	layout
	name string
	fd   int
}

// lock opens a file for reading and writing, as stock does even to read, and
// takes its lock (flock, exclusive). A file of ours is made when create says so,
// and brought to its size. close gives the lock back.
//
// Errors here are *fs.PathError, with Op "open", "lock", "read" or "write".
func (l layout) lock(name string, create bool) (file, error) {
	flags := syscall.O_RDWR | syscall.O_CLOEXEC | syscall.O_NONBLOCK
	if create {
		flags |= syscall.O_CREAT
	}
	fd, err := again(func() (int, error) { return syscall.Open(name, flags, 0o644) })
	if err != nil {
		return file{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := file{layout: l, name: name, fd: fd}
	if err := f.flock(); err != nil {
		f.close()
		return file{}, &fs.PathError{Op: "lock", Path: name, Err: err}
	}
	if create {
		f.complete()
	}
	return f, nil
}

// flock takes the exclusive lock; closing the descriptor gives it back.
func (f file) flock() error {
	pause := time.Millisecond
	for waited := time.Duration(0); ; waited += pause {
		_, err := again(func() (int, error) { return 0, syscall.Flock(f.fd, syscall.LOCK_EX|syscall.LOCK_NB) })
		if err != syscall.EWOULDBLOCK {
			return err
		}
		if waited >= patience {
			return errBusy
		}
		time.Sleep(pause)
	}
}

// complete brings a file of ours to its size, and gives a new one to the owner
// of its directory, so that root, trying things by hand, does not lock qmailr
// out. Either may fail: then the file has the records and the owner it has.
func (f file) complete() {
	var st, dir syscall.Stat_t
	if syscall.Fstat(f.fd, &st) != nil || st.Size >= int64(f.whole()) {
		return
	}
	if st.Size == 0 && os.Geteuid() == 0 && syscall.Stat(filepath.Dir(f.name), &dir) == nil {
		_ = syscall.Fchown(f.fd, int(dir.Uid), int(dir.Gid))
	}
	_ = syscall.Ftruncate(f.fd, int64(f.whole()))
}

// records is the records of the file, at most as many as the layout has; one
// that is cut off at the end does not count.
func (f file) records() ([]byte, error) {
	buf := make([]byte, f.whole())
	n := 0
	for n < len(buf) {
		m, err := again(func() (int, error) { return syscall.Pread(f.fd, buf[n:], int64(n)) })
		if err != nil {
			return nil, &fs.PathError{Op: "read", Path: f.name, Err: err}
		}
		if m == 0 {
			break
		}
		n += m
	}
	return buf[:n-n%f.size], nil
}

// write puts b at the offset off. A record is written by one system call, so a
// reader without the lock sees it whole.
func (f file) write(b []byte, off int) error {
	n, err := again(func() (int, error) { return syscall.Pwrite(f.fd, b, int64(off)) })
	if err == nil && n < len(b) {
		err = syscall.ENOSPC
	}
	if err != nil {
		return &fs.PathError{Op: "write", Path: f.name, Err: err}
	}
	return nil
}

func (f file) close() { syscall.Close(f.fd) }

// read is all records of a file, under its lock.
func (l layout) read(name string) ([]byte, error) {
	f, err := l.lock(name, false)
	if err != nil {
		return nil, err
	}
	defer f.close()
	return f.records()
}

// again repeats a system call that a signal interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}
