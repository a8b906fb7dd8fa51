package spawn

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Queue is where messages lie: queue/mess, and the user qmailq who owns them.
type Queue struct {
	Mess  *os.Root
	Owner uint32

	dir *os.File // Mess, once entered; nil: the kernel is not asked for beneath
}

// enter prepares for opening many messages. Leave undoes it.
func (q *Queue) enter() {
	q.dir, _ = q.Mess.Open(".")
}

func (q *Queue) leave() { q.dir.Close() }

// forReading is how a message is opened. O_NONBLOCK as stock: a FIFO in the message's
// place would keep us for ever.
const forReading = os.O_RDONLY | syscall.O_NONBLOCK

// beneath opens what is below Mess and nowhere else, by one call where os.Root makes
// one for each directory on the way. Where the kernel does not know that call, or
// there is anything the matter, os.Root finds out what.
func (q *Queue) beneath(name string) (*os.File, error) {
	if q.dir != nil {
		how := unix.OpenHow{Flags: uint64(forReading | unix.O_CLOEXEC), Resolve: unix.RESOLVE_BENEATH}
		if fd, err := unix.Openat2(int(q.dir.Fd()), name, &how); err == nil {
			return os.NewFile(uintptr(fd), name), nil
		}
	}
	return q.Mess.OpenFile(name, forReading, 0)
}

// open opens a message. Without one, the report says why, in stock's words.
func (q *Queue) open(name string) (*os.File, string) {
	f, err := q.beneath(name)
	if err != nil {
		return nil, "Zqmail-spawn unable to open message. (#4.3.0)\n"
	}
	fault := q.fault(f)
	if fault != "" {
		f.Close()
		return nil, fault
	}
	return f, ""
}

// fault looks at what was opened, not at what the name stands for by now. A
// message of a stranger means that somebody else than qmail-queue writes there.
func (q *Queue) fault(f *os.File) string {
	s, err := f.Stat()
	if err != nil {
		return "Zqmail-spawn unable to fstat message. (#4.3.0)\n"
	}
	if !s.Mode().IsRegular() {
		return "ZSorry, message has wrong type. (#4.3.5)\n"
	}
	if st, ok := s.Sys().(*syscall.Stat_t); !ok || st.Uid != q.Owner {
		return "ZSorry, message has wrong owner. (#4.3.5)\n"
	}
	return ""
}
