package resolver

import (
	"container/heap"
	"time"
)

const (
	// maxSweep is the most expired entries that one put clears away, so that no
	// look-up waits for a crowd that expired together.
	maxSweep = 16
	// entrySize is about what an entry takes beside its name and records: itself,
	// its found, and its places in the map and the heap.
	entrySize = 336
)

// entry is what a Cache keeps. But for its places it does not change.
type entry struct {
	Question
	*found
	until time.Time // it holds before this moment
	size  int       // bytes, nearly

	newer, older *entry // places in the ring by use
	place        int    // in store.soon
}

// store is a bounded table of entries. Whoever uses it holds a lock.
type store struct {
	maxEntries, maxBytes int

	entries map[Question]*entry
	soon    expiry
	ring    entry // its older is the one used last, its newer the one least recently
	bytes   int
}

// init makes an empty store.
func (s *store) init(maxEntries, maxBytes int) {
	s.maxEntries, s.maxBytes = maxEntries, maxBytes
	s.clear()
}

// clear drops all entries, and the memory of the map too.
func (s *store) clear() {
	s.entries, s.soon, s.bytes = map[Question]*entry{}, nil, 0
	s.ring.newer, s.ring.older = &s.ring, &s.ring
}

// newEntry is an entry with its size.
func newEntry(k Question, f *found, until time.Time) *entry {
	e := &entry{Question: k, found: f, until: until}
	e.size = entrySize + len(k.name) + 24*cap(f.mx) + 24*cap(f.addrs) + len(f.canonical) + 32*cap(f.tlsa)
	for _, m := range f.mx {
		e.size += len(m.Host) + 4 // rounded up, on the average
	}
	for _, r := range f.tlsa {
		e.size += len(r.Data)
	}
	return e
}

// get is the entry for k that holds now, or nil; it is the one used last then.
func (s *store) get(k Question, now time.Time) *entry {
	e := s.entries[k]
	if e == nil {
		return nil
	}
	if !now.Before(e.until) {
		s.remove(e)
		return nil
	}
	if s.ring.older != e {
		e.unlink()
		s.link(e)
	}
	return e
}

// put takes e in, for the one of its key if there is one, and makes room: expired
// entries go first, then those least recently used. It returns how many of the
// latter. An entry that all the room would not hold is left out.
func (s *store) put(e *entry, now time.Time) (evicted uint64) {
	if old := s.entries[e.Question]; old != nil {
		s.remove(old)
	}
	for i := 0; i < maxSweep && s.expired(now); i++ {
		s.remove(s.soon[0])
	}
	if e.size > s.maxBytes {
		return 0
	}
	for len(s.entries) >= s.maxEntries || s.bytes+e.size > s.maxBytes {
		if s.expired(now) {
			s.remove(s.soon[0])
			continue
		}
		s.remove(s.ring.newer)
		evicted++
	}
	s.entries[e.Question] = e
	s.bytes += e.size
	s.link(e)
	heap.Push(&s.soon, e)
	return evicted
}

// expired reports whether the entry that ends first has ended.
func (s *store) expired(now time.Time) bool {
	return len(s.soon) > 0 && !now.Before(s.soon[0].until)
}

func (s *store) remove(e *entry) {
	delete(s.entries, e.Question)
	s.bytes -= e.size
	e.unlink()
	heap.Remove(&s.soon, e.place)
}

// link makes e the one used last.
func (s *store) link(e *entry) {
	e.newer, e.older = &s.ring, s.ring.older
	e.newer.older, e.older.newer = e, e
}

func (e *entry) unlink() {
	e.newer.older, e.older.newer = e.older, e.newer
}

// expiry is a heap of entries, the one that ends first on top.
type expiry []*entry

func (x expiry) Len() int           { return len(x) }
func (x expiry) Less(i, j int) bool { return x[i].until.Before(x[j].until) }
func (x expiry) Swap(i, j int) {
	x[i], x[j] = x[j], x[i]
	x[i].place, x[j].place = i, j
}

func (x *expiry) Push(e any) {
	e.(*entry).place = len(*x)
	*x = append(*x, e.(*entry))
}

func (x *expiry) Pop() any {
	last := len(*x) - 1
	e := (*x)[last]
	(*x)[last] = nil
	*x = (*x)[:last]
	return e
}
