package watch

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// notes are the kernel's, of directories that are known by numbers.
type notes struct {
	fd  int
	wds map[int]int32 // the kernel's name of a directory, by our number
	buf [4096]byte
}

const noted = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO |
	unix.IN_MODIFY | unix.IN_CLOSE_WRITE | unix.IN_ATTRIB | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF | unix.IN_ONLYDIR

// newNotes is nil where the kernel takes none.
func newNotes() *notes {
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		return nil
	}
	return &notes{fd: fd, wds: map[int]int32{}}
}

// watch has notes taken of the directory number i, and reports whether they are.
func (n *notes) watch(i int, dir string) bool {
	wd, err := unix.InotifyAddWatch(n.fd, dir, noted)
	last, known := n.wds[i]
	if err != nil {
		delete(n.wds, i)
	} else {
		n.wds[i] = int32(wd)
	}
	if known && !n.used(last) {
		_, _ = unix.InotifyRmWatch(n.fd, uint32(last)) // gone with its directory, mostly
	}
	return err == nil
}

func (n *notes) used(wd int32) bool {
	for _, other := range n.wds {
		if other == wd {
			return true
		}
	}
	return false
}

// any reads all notes and reports whether one is of interest: concerns says so
// of a name in a directory. That notes were lost, or that a directory went away,
// is of interest too.
func (n *notes) any(concerns func(dir int, name string) bool) bool {
	found := false
	for {
		size, err := unix.Read(n.fd, n.buf[:])
		if err == unix.EINTR {
			continue
		}
		if err == unix.EAGAIN {
			return found
		}
		if err != nil || size < unix.SizeofInotifyEvent {
			return true
		}
		for b := n.buf[:size]; len(b) >= unix.SizeofInotifyEvent; {
			wd, mask := int32(binary.NativeEndian.Uint32(b)), binary.NativeEndian.Uint32(b[4:])
			end := unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(b[12:]))
			name, _, _ := bytes.Cut(b[unix.SizeofInotifyEvent:end], []byte{0})
			found = found || n.concerned(wd, mask, string(name), concerns)
			b = b[end:]
		}
	}
}

func (n *notes) concerned(wd int32, mask uint32, name string, concerns func(int, string) bool) bool {
	if mask&unix.IN_Q_OVERFLOW != 0 {
		return true
	}
	for i, of := range n.wds {
		if of == wd && (name == "" || concerns(i, name)) {
			return true
		}
	}
	return false
}

// drain forgets all notes.
func (n *notes) drain() { n.any(func(int, string) bool { return false }) }

func (n *notes) close() {
	if n != nil {
		unix.Close(n.fd)
	}
}
