package spawn

import (
	"os"
	"syscall"
)

// Queue is where messages lie: queue/mess, and the user qmailq who owns them.
type Queue struct {
	Mess  *os.Root
	Owner uint32
}

// open opens a message. Without one, the report says why, in stock's words.
// O_NONBLOCK as stock: a FIFO in the message's place would keep us for ever.
func (q *Queue) open(name string) (*os.File, string) {
	f, err := q.Mess.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
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
