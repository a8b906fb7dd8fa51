package tcpto

import (
	"net/netip"
	"os"
	"sync"
	"time"
)

// Table is the timeout table as one delivery uses it. It is safe for
// concurrent use, for connections that are raced.
//
// Each file is read at most once for Blocked, when it is first needed, and what
// it said then stands for the life of the Table: a delivery that asks about
// twenty addresses locks it once. So a Table is for one delivery; a long-lived
// process opens a new one for the next. TimedOut and Answered work on what the
// file says at that moment.
type Table struct {
	now func() time.Time
	pid int // spreads the moments at which processes try again
	v4  table
	v6  table
}

// table is one of the files.
type table struct {
	layout
	name   string
	create bool  // when there is something to record
	kept   *kept // what a table before this one has read; may be nil

	mu   sync.Mutex // guards what follows
	done bool       // the file has been read for Blocked
	seen []byte     // its records then
}

// Open makes a Table of the two files; it touches neither yet. now is the wall
// clock, for the files hold UNIX time.
func Open(file4, file6 string, now func() time.Time) *Table {
	return open(file4, file6, now, os.Getpid())
}

func open(file4, file6 string, now func() time.Time, pid int) *Table {
	return &Table{
		now: now,
		pid: pid,
		v4:  table{layout: layout4, name: file4},
		v6:  table{layout: layout6, name: file6, create: true},
	}
}

// Blocked says that connections to addr timed out twice or more, and lately:
// within 64 to 97 minutes, depending on the process.
func (t *Table) Blocked(addr netip.Addr) bool {
	tab, key := t.of(addr)
	r, ok := tab.find(tab.known(t.now()), key)
	if !ok || r.count() < 2 {
		return false
	}
	return t.within(r.when(), int64(60+t.pid&31)<<6)
}

// TimedOut records that a connection to addr timed out. Another timeout within
// two minutes of the recorded one says nothing new: it began before that ended.
func (t *Table) TimedOut(addr netip.Addr) {
	tab, key := t.of(addr)
	tab.update(tab.create, func(buf []byte) (record, bool) {
		now := t.now().Unix()
		r, ok := tab.find(buf, key)
		if ok {
			if r.count() > 0 && t.within(r.when(), 120) {
				return r, false
			}
			r.set(r.count()+1, now)
			return r, true
		}
		if r, ok = tab.victim(buf); ok {
			copy(r.address(), key)
			r.set(1, now)
		}
		return r, ok
	})
}

// Answered records that addr took a connection. Without a record of it nothing
// is written; nor is the file locked again, if Blocked saw none in it, and that
// is what nearly every delivery comes to.
func (t *Table) Answered(addr netip.Addr) {
	tab, key := t.of(addr)
	if _, ok := tab.find(tab.known(t.now()), key); !ok {
		return
	}
	tab.update(false, func(buf []byte) (record, bool) {
		r, ok := tab.find(buf, key)
		if !ok || r.count() == 0 {
			return r, false
		}
		r.free()
		return r, true
	})
}

// within says whether less than limit seconds lie between when and now.
// Field: a time in the future means that the clock was set back. Stock would
// then block until it comes round; here it counts as one in the past.
func (t *Table) within(when, limit int64) bool {
	age := t.now().Unix() - when
	return -limit < age && age < limit
}

// of is the file that addr belongs in, and addr as it is written there.
func (t *Table) of(addr netip.Addr) (*table, []byte) {
	addr = addr.Unmap()
	if addr.Is4() {
		return &t.v4, addr.AsSlice()
	}
	a := addr.As16()
	return &t.v6, a[:]
}

// known is the records as Blocked knows them.
func (tab *table) known(now time.Time) []byte {
	tab.mu.Lock()
	defer tab.mu.Unlock()
	if !tab.done {
		tab.done = true
		tab.seen = tab.look(now)
	}
	return tab.seen
}

// look reads the records, unless they are known.
func (tab *table) look(now time.Time) []byte {
	if tab.kept != nil {
		return tab.kept.records(tab.name, now, tab.read)
	}
	seen, _ := tab.read(tab.name)
	return seen
}

// update lets change alter the records under the lock, and writes the one that
// it returns, if it says so.
func (tab *table) update(create bool, change func(buf []byte) (record, bool)) {
	f, err := tab.lock(tab.name, create)
	if err != nil {
		return
	}
	defer f.close()
	buf, err := f.records()
	if err != nil {
		return
	}
	if r, write := change(buf); write {
		_ = f.write(r.b, r.off)
	}
}
