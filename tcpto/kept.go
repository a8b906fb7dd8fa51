package tcpto

import (
	"os"
	"sync"
	"syscall"
	"time"
)

// Kept is the timeout table for a process that carries out many deliveries: it
// reads a file again only when it has changed.
type Kept struct {
	file4, file6 string
	now          func() time.Time
	pid          int
	v4, v6       kept
}

// kept is what one of the files said last.
type kept struct {
	mu   sync.Mutex // guards what follows
	of   stamp
	seen []byte
}

// stamp tells one state of a file from another; the zero one is of none.
type stamp struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

// infancy is how long after a change another may leave the file's times as they
// are, whose clock ticks slowly; FAT's is the slowest.
const infancy = 2 * time.Second

// Keep makes a Kept of the two files; it touches neither yet. now is as Open's.
func Keep(file4, file6 string, now func() time.Time) *Kept {
	return &Kept{file4: file4, file6: file6, now: now, pid: os.Getpid()}
}

// Table is the table for the next delivery.
func (k *Kept) Table() *Table {
	t := open(k.file4, k.file6, k.now, k.pid)
	t.v4.kept, t.v6.kept = &k.v4, &k.v6
	return t
}

// records is what read gives. The file is not read with the mutex held: its lock
// may have to be waited for.
func (k *kept) records(name string, now time.Time, read func(string) ([]byte, error)) []byte {
	var st syscall.Stat_t
	if _, err := again(func() (int, error) { return 0, syscall.Stat(name, &st) }); err != nil {
		return nil
	}
	of := stamp{st.Dev, st.Ino, st.Size, st.Mtim, st.Ctim}
	k.mu.Lock()
	seen, same := k.seen, k.of == of
	k.mu.Unlock()
	if same {
		return seen
	}
	seen, err := read(name)
	if err != nil {
		return nil
	}
	if age := now.Sub(time.Unix(0, st.Ctim.Nano())); age < infancy {
		of = stamp{} // it is read again
	}
	k.mu.Lock()
	k.of, k.seen = of, seen
	k.mu.Unlock()
	return seen
}
