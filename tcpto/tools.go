package tcpto

import (
	"errors"
	"io/fs"
	"net/netip"
	"time"
)

// Entry is one address that timed out, for qmail-tcpto to print.
type Entry struct {
	Addr  netip.Addr
	Count int       // recent timeouts, at least 1
	When  time.Time // the last of them
}

// Read4 is the used records of stock's file in their order. Unlike a Table it
// reports errors, *fs.PathError with Op "open", "lock" or "read".
func Read4(name string) ([]Entry, error) { return layout4.entries(name) }

// Read6 is the same for tcpto6, which need not exist.
func Read6(name string) ([]Entry, error) {
	entries, err := layout6.entries(name)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return entries, err
}

func (l layout) entries(name string) ([]Entry, error) {
	buf, err := l.read(name)
	var entries []Entry
	for off := 0; off < len(buf); off += l.size {
		r := l.at(buf, off)
		if r.count() > 0 {
			addr, _ := netip.AddrFromSlice(r.address())
			entries = append(entries, Entry{addr, r.count(), time.Unix(r.when(), 0)})
		}
	}
	return entries, err
}

// Clear4 forgets every timeout of stock's file. Compat(qmail): it writes the
// whole file, and so makes an empty one usable. Errors are *fs.PathError with
// Op "open", "lock" or "write".
func Clear4(name string) error { return layout4.clear(name) }

// Clear6 is the same for tcpto6, which need not exist.
func Clear6(name string) error {
	err := layout6.clear(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (l layout) clear(name string) error {
	f, err := l.lock(name, false)
	if err != nil {
		return err
	}
	defer f.close()
	return f.write(make([]byte, l.whole()), 0)
}
