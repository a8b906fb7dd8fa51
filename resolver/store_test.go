package resolver

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// sketch is a store done simply: entries in a row, the one used last at the end.
type sketch struct {
	row                  []*entry
	maxEntries, maxBytes int
}

func (s *sketch) drop(which func(*entry) bool) { s.row = slices.DeleteFunc(s.row, which) }

func (s *sketch) bytes() (n int) {
	for _, e := range s.row {
		n += e.size
	}
	return n
}

func (s *sketch) get(k Question, now time.Time) *entry {
	s.drop(func(e *entry) bool { return e.Question == k && !now.Before(e.until) })
	i := slices.IndexFunc(s.row, func(e *entry) bool { return e.Question == k })
	if i < 0 {
		return nil
	}
	e := s.row[i]
	s.row = append(slices.Delete(s.row, i, i+1), e)
	return e
}

func (s *sketch) put(e *entry, now time.Time) (evicted uint64) {
	s.drop(func(old *entry) bool { return old.Question == e.Question || !now.Before(old.until) })
	if e.size > s.maxBytes {
		return 0
	}
	for s.row = append(s.row, e); len(s.row) > s.maxEntries || s.bytes() > s.maxBytes; evicted++ {
		s.row = s.row[1:]
	}
	return evicted
}

// check looks whether all parts of s say the same, within its bounds.
func (s *store) check(t *testing.T) (row []*entry) {
	t.Helper()
	bytes := 0
	for e := s.ring.newer; e != &s.ring; e = e.newer {
		row, bytes = append(row, e), bytes+e.size
		if s.entries[e.Question] != e || s.soon[e.place] != e || e.newer.older != e || e.older.newer != e {
			t.Fatalf("%v is not where it says", e.Question)
		}
	}
	for i, e := range s.soon {
		if i > 0 && e.until.Before(s.soon[(i-1)/2].until) {
			t.Fatalf("no heap at %d", i)
		}
	}
	if len(row) != len(s.entries) || len(row) != len(s.soon) || bytes != s.bytes {
		t.Fatalf("%d in the ring, %d in the map, %d in the heap; %d bytes, not %d",
			len(row), len(s.entries), len(s.soon), bytes, s.bytes)
	}
	if len(row) > s.maxEntries || s.bytes > s.maxBytes {
		t.Fatalf("%d entries of %d bytes", len(row), bytes)
	}
	return row
}

// Whatever is done to it, a store does what a simple one does.
func TestStore(t *testing.T) {
	for seed := range uint64(50) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		plain := &sketch{maxEntries: 1 + rnd.IntN(12), maxBytes: 300 + rnd.IntN(6000)}
		var s store
		s.init(plain.maxEntries, plain.maxBytes)
		now := time.Now()
		for step := range 400 {
			now = now.Add(time.Duration(rnd.IntN(3)) * time.Second)
			k := Question{name: fmt.Sprint(rnd.IntN(20)), typ: dns.TypeA}
			if rnd.IntN(2) == 0 {
				if got, want := s.get(k, now), plain.get(k, now); got != want {
					t.Fatalf("seed %d, step %d: %v, want %v", seed, step, got, want)
				}
			} else {
				f := &found{canonical: strings.Repeat("x", rnd.IntN(400))}
				e := newEntry(k, f, now.Add(time.Duration(1+rnd.IntN(30))*time.Second))
				if got, want := s.put(e, now), plain.put(e, now); got != want {
					t.Fatalf("seed %d, step %d: evicted %d, want %d", seed, step, got, want)
				}
			}
			if rnd.IntN(200) == 0 {
				s.clear()
				plain.row = nil
			}
			if row := s.check(t); !slices.Equal(row, plain.row) {
				t.Fatalf("seed %d, step %d: %d entries, want %d, or in another order", seed, step, len(row), len(plain.row))
			}
		}
	}
}

// A crowd that expired together is cleared away little by little, and nothing of
// it holds; an entry that has no room otherwise clears away what it needs.
func TestStoreCrowd(t *testing.T) {
	var s store
	s.init(1000, 1<<20)
	now := time.Now()
	for i := range 1000 {
		s.put(newEntry(Question{name: fmt.Sprint(i)}, &found{}, now.Add(time.Second)), now)
	}
	now = now.Add(time.Second)
	s.put(newEntry(Question{name: "new"}, &found{}, now.Add(time.Hour)), now)
	if n := len(s.check(t)); n != 1000-maxSweep+1 {
		t.Errorf("%d entries", n)
	}
	big := newEntry(Question{name: "big"}, &found{canonical: strings.Repeat("x", 1<<20-2*entrySize-20)}, now.Add(time.Hour))
	if n := s.put(big, now); n != 0 || len(s.check(t)) != 2 {
		t.Errorf("%d evicted, %d entries", n, len(s.entries))
	}
	for i := range 1000 {
		if s.get(Question{name: fmt.Sprint(i)}, now) != nil {
			t.Fatalf("%d still holds", i)
		}
	}
}

// The sizes that are added up are those that the heap sees, nearly.
func TestStoreBytes(t *testing.T) {
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	for reason, mx := range map[string]int{"a denial": 0, "two exchangers": 2, "twenty": 20} {
		var s store
		s.init(1<<20, 1<<30)
		now, before := time.Now(), heap()
		entries := 20000 / max(1, mx/2) // what else comes and goes is little beside them
		for i := range entries {
			f := &found{}
			for j := range mx {
				f.mx = append(f.mx, MX{Host: fmt.Sprintf("mx%d.mail.domain-%d.example", j, i)})
			}
			s.put(newEntry(Question{name: fmt.Sprintf("domain-%d.example", i)}, f, now.Add(time.Hour)), now)
		}
		took := heap() - before
		if s.bytes < took*3/4 || s.bytes > took*4/3 {
			t.Errorf("%s: %d bytes an entry, said to be %d", reason, took/entries, s.bytes/entries)
		}
		runtime.KeepAlive(&s)
	}
}
