package control

import (
	"io/fs"
	"os"
	"path"
	"syscall"
)

// Dir is a qmail home on disk as Load wants it: an os.DirFS that reads a file
// with open, read and close alone, since a delivery's process does nothing else
// but this between its start and its first packet.
type Dir string

// Open implements fs.FS.
func (d Dir) Open(name string) (fs.File, error) { return os.DirFS(string(d)).Open(name) }

// Stat implements fs.StatFS. That there is no such file, which is what is mostly
// asked, takes little time and stack.
func (d Dir) Stat(name string) (fs.FileInfo, error) {
	if fs.ValidPath(name) {
		var s syscall.Stat_t
		if err := syscall.Stat(string(d)+"/"+name, &s); err == syscall.ENOENT {
			return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
		}
	}
	return fs.Stat(os.DirFS(string(d)), name)
}

// ReadFile implements fs.ReadFileFS. It does not wait for a FIFO's writer.
func (d Dir) ReadFile(name string) ([]byte, error) {
	refuse := func(op string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }
	if !fs.ValidPath(name) {
		return nil, refuse("open", fs.ErrInvalid)
	}
	fd, err := open(path.Join(string(d), name))
	if err != nil {
		return nil, refuse("open", err)
	}
	defer syscall.Close(fd)
	buf := make([]byte, 0, 512)
	for {
		n, err := syscall.Read(fd, buf[len(buf):cap(buf)])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return nil, refuse("read", err)
		case n == 0:
			return buf, nil
		default:
			buf = buf[:len(buf)+n]
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

func open(name string) (int, error) {
	for {
		fd, err := syscall.Open(name, syscall.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
		if err != syscall.EINTR {
			return fd, err
		}
	}
}
