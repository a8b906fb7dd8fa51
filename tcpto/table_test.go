package tcpto

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// start is when the tests happen, in seconds since 1970.
const start = 1_700_000_000

var (
	a = netip.MustParseAddr("192.0.2.1")
	b = netip.MustParseAddr("192.0.2.2")
	x = netip.MustParseAddr("2001:db8::1")
)

// rec4 is a record of stock's file.
func rec4(addr string, count byte, when int64) []byte {
	r := make([]byte, 16)
	copy(r, netip.MustParseAddr(addr).AsSlice())
	r[4] = count
	binary.LittleEndian.PutUint32(r[8:], uint32(when))
	return r
}

// rec6 is a record of tcpto6.
func rec6(addr string, count byte, when int64) []byte {
	r := make([]byte, 32)
	copy(r, netip.MustParseAddr(addr).AsSlice())
	r[16] = count
	binary.LittleEndian.PutUint64(r[20:], uint64(when))
	return r
}

// full4 is a complete file of stock's that begins with some records.
func full4(recs ...[]byte) []byte {
	all := bytes.Join(recs, nil)
	return append(all, make([]byte, 1024-len(all))...)
}

// rig is a pair of files and a clock.
type rig struct {
	t         testing.TB
	four, six string
	seconds   int64 // now, relative to start
	pid       int
}

func newRig(t testing.TB, four []byte) *rig {
	dir := t.TempDir()
	r := &rig{t: t, four: filepath.Join(dir, "tcpto"), six: filepath.Join(dir, "tcpto6")}
	if four != nil {
		r.write(r.four, four)
	}
	return r
}

func (r *rig) write(name string, content []byte) {
	r.t.Helper()
	if err := os.WriteFile(name, content, 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) read(name string) []byte {
	r.t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		r.t.Fatal(err)
	}
	return content
}

// table is a new delivery's.
func (r *rig) table() *Table {
	t := Open(r.four, r.six, func() time.Time { return time.Unix(start+r.seconds, 0) })
	t.pid = r.pid
	return t
}

func TestBlocked(t *testing.T) {
	tests := []struct {
		reason string
		file   []byte
		pid    int
		want   bool
	}{
		{"empty table", full4(), 0, false},
		{"one timeout", full4(rec4("192.0.2.1", 1, start)), 0, false},
		{"two timeouts", full4(rec4("192.0.2.1", 2, start)), 0, true},
		{"ten timeouts", full4(rec4("192.0.2.1", 10, start-60)), 0, true},
		{"another address", full4(rec4("192.0.2.2", 2, start)), 0, false},
		{"not the first record", full4(rec4("192.0.2.2", 2, start), rec4("192.0.2.1", 2, start)), 0, true},
		{"the last record", append(make([]byte, 1008), rec4("192.0.2.1", 2, start)...), 0, true},
		{"the first record of an address counts", full4(rec4("192.0.2.1", 0, start), rec4("192.0.2.1", 2, start)), 0, false},
		{"just inside the window", full4(rec4("192.0.2.1", 2, start-60*64+1)), 0, true},
		{"just outside", full4(rec4("192.0.2.1", 2, start-60*64)), 0, false},
		{"the process spreads it", full4(rec4("192.0.2.1", 2, start-60*64)), 1, true},
		{"by at most 31", full4(rec4("192.0.2.1", 2, start-91*64+1)), 31 + 64, true},
		{"at its end", full4(rec4("192.0.2.1", 2, start-91*64)), 31 + 64, false},
		{"clock a little back", full4(rec4("192.0.2.1", 2, start+60)), 0, true},
		{"clock a day back (C83)", full4(rec4("192.0.2.1", 2, start+86400)), 0, false},
		{"missing file", nil, 0, false},
		{"empty file", []byte{}, 0, false},
		{"short file", rec4("192.0.2.1", 2, start)[:15], 0, false},
		{"short file with a record", append(rec4("192.0.2.1", 2, start), 192, 0, 2), 0, true},
		{"a record beyond the 64th", append(full4(), rec4("192.0.2.1", 2, start)...), 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			r := newRig(t, tt.file)
			r.pid = tt.pid
			table := r.table()
			if got := table.Blocked(a); got != tt.want {
				t.Errorf("Blocked = %v", got)
			}
			if got := table.Blocked(netip.MustParseAddr("::ffff:192.0.2.1")); got != tt.want {
				t.Errorf("as a mapped address: %v", got)
			}
		})
	}
}

// change is what becomes of stock's file.
type change struct {
	reason       string
	before, want []byte
}

// leaves checks what becomes of it when a new table is used.
func leaves(t *testing.T, use func(*Table), changes []change) {
	for _, c := range changes {
		t.Run(c.reason, func(t *testing.T) {
			r := newRig(t, c.before)
			use(r.table())
			if got := r.read(r.four); !bytes.Equal(got, c.want) {
				t.Errorf("got\n%x\nwant\n%x", got, c.want)
			}
		})
	}
}

func TestTimedOut(t *testing.T) {
	leaves(t, func(table *Table) { table.TimedOut(a) }, []change{
		{"a new address", full4(), full4(rec4("192.0.2.1", 1, start))},
		{"the second time", full4(rec4("192.0.2.1", 1, start-120)), full4(rec4("192.0.2.1", 2, start))},
		{"too soon after", full4(rec4("192.0.2.1", 1, start-119)), full4(rec4("192.0.2.1", 1, start-119))},
		{"a free record's time does not matter", full4(rec4("192.0.2.1", 0, start-5)), full4(rec4("192.0.2.1", 1, start))},
		{"ten is the most", full4(rec4("192.0.2.1", 10, start-500)), full4(rec4("192.0.2.1", 10, start))},
		{"more than ten heals", full4(rec4("192.0.2.1", 255, start-500)), full4(rec4("192.0.2.1", 10, start))},
		{"clock a day back (C83)", full4(rec4("192.0.2.1", 3, start+86400)), full4(rec4("192.0.2.1", 4, start))},
		{"the first free record", full4(rec4("192.0.2.2", 1, start), rec4("192.0.2.3", 0, start)),
			full4(rec4("192.0.2.2", 1, start), rec4("192.0.2.1", 1, start))},
		{"short file, own record", rec4("192.0.2.1", 1, start-200), rec4("192.0.2.1", 2, start)},
		{"short file, replaced", rec4("192.0.2.9", 1, start-200), rec4("192.0.2.1", 1, start)},
		{"half a record stays", append(rec4("192.0.2.9", 1, 5), 1, 2, 3), append(rec4("192.0.2.1", 1, start), 1, 2, 3)},
		{"empty file stays empty", []byte{}, []byte{}},
	})
}

// When all 64 records are used, the smallest time + count × 1024 gives way, the
// first of several.
func TestReplacement(t *testing.T) {
	var file []byte
	for i := range 64 {
		file = append(file, rec4("198.51.100."+strconv.Itoa(i), 1, start-1000)...)
	}
	copy(file[16*7:], rec4("198.51.100.7", 3, start-3000))  // 3 × 1024 more than its time
	copy(file[16*9:], rec4("198.51.100.9", 1, start-1001))  // the one
	copy(file[16*11:], rec4("198.51.100.9", 1, start-1001)) // as old, but later
	r := newRig(t, file)
	r.table().TimedOut(a)
	copy(file[16*9:], rec4("192.0.2.1", 1, start))
	if got := r.read(r.four); !bytes.Equal(got, file) {
		t.Errorf("got\n%x\nwant\n%x", got, file)
	}
}

func TestAnswered(t *testing.T) {
	leaves(t, func(table *Table) { table.Answered(a) }, []change{
		{"a record is freed", full4(rec4("192.0.2.1", 2, start)), full4(rec4("192.0.2.1", 0, start))},
		{"no record", full4(rec4("192.0.2.2", 2, start)), full4(rec4("192.0.2.2", 2, start))},
	})
}

// Without a record, and with a free one, Answered leaves even the mtime alone.
func TestAnsweredDoesNotWrite(t *testing.T) {
	for _, count := range []byte{0, 2} {
		r := newRig(t, full4(rec4("192.0.2.2", count, start)))
		old := time.Unix(1000, 0)
		if err := os.Chtimes(r.four, old, old); err != nil {
			t.Fatal(err)
		}
		r.table().Answered(a)
		if count == 0 {
			r.table().Answered(b)
		}
		if st, err := os.Stat(r.four); err != nil || !st.ModTime().Equal(old) {
			t.Errorf("count %d: written at %v, %v", count, st.ModTime(), err)
		}
		if _, err := os.Stat(r.six); !os.IsNotExist(err) {
			t.Errorf("tcpto6 was made: %v", err)
		}
	}
}

// A life of an IPv6 address, with the file made on the way.
func TestTcpto6(t *testing.T) {
	r := newRig(t, full4())
	if r.table().Blocked(x) {
		t.Error("blocked by a missing file")
	}
	r.table().TimedOut(x)
	r.seconds = 200
	r.table().TimedOut(x)
	want := append(rec6("2001:db8::1", 2, start+200), make([]byte, 255*32)...)
	if got := r.read(r.six); !bytes.Equal(got, want) {
		t.Errorf("file is\n%x", got)
	}
	if !r.table().Blocked(x.WithZone("eth0")) {
		t.Error("not blocked after two timeouts")
	}
	r.table().Answered(x)
	if r.table().Blocked(x) {
		t.Error("blocked after an answer")
	}
	if got := r.read(r.four); !bytes.Equal(got, full4()) {
		t.Error("IPv6 went into the IPv4 file")
	}

	r.write(r.six, want[:33]) // cut off: made whole again
	r.table().TimedOut(netip.MustParseAddr("2001:db8::2"))
	copy(want[32:], rec6("2001:db8::2", 1, start+200))
	if got := r.read(r.six); !bytes.Equal(got, want) {
		t.Errorf("after repair the file is\n%x", got)
	}

	copy(want[20:], bytes.Repeat([]byte{0xff}, 8)) // no time at all
	r.write(r.six, want)
	if r.table().Blocked(x) {
		t.Error("blocked by a nonsensical time")
	}
}

// What Blocked saw stands for the life of a Table; another Table sees anew.
func TestBlockedReadsOnce(t *testing.T) {
	r := newRig(t, full4(rec4("192.0.2.1", 2, start)))
	old := r.table()
	if !old.Blocked(a) {
		t.Fatal("not blocked")
	}
	r.write(r.four, full4())
	if !old.Blocked(a) {
		t.Error("read again")
	}
	if r.table().Blocked(a) {
		t.Error("a new Table did not read")
	}
}

// Files that cannot be used say nothing and change nothing.
func TestSilence(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{dir, filepath.Join(dir, "no", "such"), "/dev/null", ""} {
		table := Open(name, name, time.Now)
		for _, addr := range []netip.Addr{a, x, {}} {
			table.TimedOut(addr)
			table.Answered(addr)
			if table.Blocked(addr) {
				t.Errorf("%s blocks %v", name, addr)
			}
		}
	}
}

// FuzzTable: no content of a file makes a Table fail, resize stock's file or
// touch more than one record.
func FuzzTable(f *testing.F) {
	f.Add(full4(rec4("192.0.2.1", 2, start)), []byte{})
	f.Add(rec4("192.0.2.1", 255, -1), rec6("2001:db8::1", 255, -1))
	f.Fuzz(func(t *testing.T, four, six []byte) {
		if len(four) > 2048 || len(six) > 16384 {
			return
		}
		r := newRig(t, four)
		r.write(r.six, six)
		table := r.table()
		table.Blocked(a)
		table.Blocked(x)
		table.TimedOut(a)
		table.TimedOut(x)
		after := r.read(r.four)
		if len(after) != len(four) {
			t.Fatalf("from %d bytes to %d", len(four), len(after))
		}
		changed := 0
		for off := 0; off < len(four); off += 16 {
			end := min(off+16, len(four))
			if !bytes.Equal(four[off:end], after[off:end]) {
				changed++
			}
		}
		if changed > 1 {
			t.Errorf("%d records changed", changed)
		}
		if len(r.read(r.six)) != max(len(six), 8192) {
			t.Errorf("tcpto6 has %d bytes", len(r.read(r.six)))
		}
		r.table().Answered(a)
		r.table().Answered(x)
		if r.table().Blocked(a) || r.table().Blocked(x) {
			t.Error("blocked after an answer")
		}
	})
}

func BenchmarkBlocked(bm *testing.B) {
	r := newRig(bm, full4())
	for bm.Loop() {
		r.table().Blocked(a)
	}
}
