package routes

import (
	"bytes"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"postrider/internal/constmap"
)

// source is the control file, open.
type source struct {
	name  string
	fd    int
	size  int64
	mode  uint32
	stamp []byte // tells this state of the file from every other
}

// A stamp is the file's size, mtime in ns and inode, each 64 bits, and a byte
// that is settled or young. A file that was changed a moment ago may change again
// without its mtime, whose clock ticks slowly, telling: what was compiled from a
// young one holds for nobody, and is compiled again when it has settled.
const (
	stampSize = 25
	settled   = 0
	young     = 1
	infancy   = 2 * time.Second // FAT's clock is the slowest
)

// openSource opens the control file; nil is a file that is missing. It is opened
// even if the cdb holds, because one that may not be read must defer the mail.
func openSource(name string) (*source, error) {
	fd, err := again(func() (int, error) {
		return syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	})
	if err == syscall.ENOENT {
		return nil, nil
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	var st syscall.Stat_t
	if err = syscall.Fstat(fd, &st); err == nil && st.Mode&syscall.S_IFMT == syscall.S_IFDIR {
		err = syscall.EISDIR
	}
	if err != nil {
		syscall.Close(fd)
		return nil, &fs.PathError{Op: "read", Path: name, Err: err}
	}
	src := &source{name: name, fd: fd, size: st.Size, mode: st.Mode}
	b := binary.LittleEndian.AppendUint64(make([]byte, 0, stampSize), uint64(st.Size))
	b = binary.LittleEndian.AppendUint64(b, uint64(st.Mtim.Nano()))
	b = binary.LittleEndian.AppendUint64(b, st.Ino)
	age := settled
	if d := time.Since(time.Unix(0, st.Mtim.Nano())); -infancy < d && d < infancy {
		age = young
	}
	src.stamp = append(b, byte(age))
	return src, nil
}

func (src *source) close() { syscall.Close(src.fd) }

// text is the content of the file.
func (src *source) text() (string, error) {
	buf := make([]byte, 0, min(src.size, 64<<20)+1) // the one is room to see the end
	for {
		n, err := again(func() (int, error) { return syscall.Read(src.fd, buf[len(buf):cap(buf)]) })
		if err != nil {
			return "", &fs.PathError{Op: "read", Path: src.name, Err: err}
		}
		if n == 0 {
			return string(buf), nil
		}
		buf = buf[:len(buf)+n]
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// fresh opens the cdb if it holds for the source, and else says whether to
// compile it. Nothing is compiled twice in the source's first two seconds.
func (s *SMTP) fresh(src *source) (db *constmap.CDB, compile bool) {
	db, err := constmap.OpenCDB(s.cdb)
	if err != nil {
		return nil, true
	}
	const same = stampSize - 1
	if len(db.Stamp) == stampSize && bytes.Equal(db.Stamp[:same], src.stamp[:same]) {
		if db.Stamp[same] == settled {
			return db, true // should it turn out to be damaged
		}
		compile = src.stamp[same] == settled
	} else {
		compile = true
	}
	db.Close()
	return nil, compile
}

// compile replaces the cdb, or leaves it as it was. Only one process does so at
// a time, and nobody waits for it: the others have the text.
func (s *SMTP) compile(text string, src *source) {
	lock, err := again(func() (int, error) {
		return syscall.Open(s.lock, syscall.O_RDONLY|syscall.O_CREAT|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0o644)
	})
	if err != nil {
		return
	}
	defer syscall.Close(lock)
	_, err = again(func() (int, error) { return 0, syscall.Flock(lock, syscall.LOCK_EX|syscall.LOCK_NB) })
	if err != nil {
		return
	}
	content, err := build(text, src.stamp)
	if err != nil {
		return
	}
	// The lock makes the name ours. One who was killed may have left a file.
	temp := s.cdb + ".tmp"
	_ = os.Remove(temp)
	if writeFile(temp, content, src.mode) != nil || os.Rename(temp, s.cdb) != nil {
		_ = os.Remove(temp)
	}
}

// writeFile makes a new file that survives a crash of the machine. There are
// passwords in it: it is for all to read only if its source, with the given
// mode, is. Made by root, it is given to the owner of the directory, so that root,
// trying things by hand, does not lock qmailr out.
func writeFile(name string, content []byte, mode uint32) error {
	perm := os.FileMode(0o600)
	if mode&0o004 != 0 {
		perm = 0o644
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return err
	}
	defer f.Close()
	var dir syscall.Stat_t
	if os.Geteuid() == 0 && syscall.Stat(filepath.Dir(name), &dir) == nil {
		if err := f.Chown(int(dir.Uid), int(dir.Gid)); err != nil {
			return err
		}
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
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
