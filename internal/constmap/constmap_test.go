package constmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestMap(t *testing.T) {
	var m Map[int]
	if v, ok := m.Lookup("a"); ok {
		t.Errorf("an empty map has %v", v)
	}
	m.Set("Example", 1)
	m.Set("eXAMPLE", 2)
	m.Set("", 3)
	for key, want := range map[string]int{"example": 2, "EXAMPLE": 2, "": 3} {
		if v, ok := m.Lookup(key); v != want || !ok {
			t.Errorf("%q: %v, %v", key, v, ok)
		}
	}
	for _, key := range []string{"exampl", "example.", "xample", "ſ"} {
		if v, ok := m.Lookup(key); ok {
			t.Errorf("%q has %v", key, v)
		}
	}
}

func TestSuffixes(t *testing.T) {
	for _, c := range []struct {
		name, starts string
		want         []string
	}{
		{"a.b.example", ".", []string{"a.b.example", ".b.example", ".example"}},
		{".example", ".", []string{".example"}},
		{"a.", ".", []string{"a.", "."}},
		{"j.d@a.example", "@.", []string{"j.d@a.example", ".d@a.example", "@a.example", ".example"}},
		{"", ".", []string{""}},
	} {
		if got := slices.Collect(Suffixes(c.name, c.starts)); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q", c.name, got)
		}
	}
	for range Suffixes("a.b", ".") {
		break // must not go on
	}
}

func TestCut(t *testing.T) {
	for _, c := range []struct{ line, key, value string }{
		{"a:b:c", "a", "b:c"},
		{":b", "", "b"},
		{"[192.0.2.1]:b", "[192.0.2.1]", "b"},
		{"[2001:db8::1]:b", "[2001:db8::1]", "b"},
		{"[2001:db8::1]b:c", "[2001", "db8::1]b:c"},
		{"a:[2001:db8::1]:25", "a", "[2001:db8::1]:25"},
	} {
		if key, value, ok := Cut(c.line); key != c.key || value != c.value || !ok {
			t.Errorf("%q: %q, %q, %v", c.line, key, value, ok)
		}
	}
	if _, _, ok := Cut("nonsense"); ok {
		t.Error("cut without a colon")
	}
}

// build makes a file of the records "key0" to "keyN" with values of some length.
func build(t testing.TB, n, length int) (name string, content []byte) {
	t.Helper()
	b := NewBuilder([]byte("stamp"))
	for i := range n {
		b.Put(key(i), value(i, length))
	}
	content, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	name = filepath.Join(t.TempDir(), "cdb")
	write(t, name, content)
	return name, content
}

func key(i int) []byte { return []byte("key" + strconv.Itoa(i)) }

func value(i, length int) []byte { return bytes.Repeat([]byte{byte(i)}, length) }

func write(t testing.TB, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCDB(t *testing.T) {
	for _, c := range []struct{ n, length int }{{0, 0}, {1, 0}, {3, 4}, {300, 10}, {20_000, 3}, {40, 5000}} {
		name, _ := build(t, c.n, c.length)
		db, err := OpenCDB(name)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if string(db.Stamp) != "stamp" {
			t.Errorf("%+v: stamp %q", c, db.Stamp)
		}
		for i := range c.n {
			if v, ok, err := db.Get(key(i)); !bytes.Equal(v, value(i, c.length)) || !ok || err != nil {
				t.Fatalf("%+v, %d: %q, %v, %v", c, i, v, ok, err)
			}
		}
		for _, absent := range []string{"", "key", "key-1", "key" + strconv.Itoa(c.n)} {
			if v, ok, err := db.Get([]byte(absent)); ok || err != nil {
				t.Errorf("%+v: %s is %q, %v", c, absent, v, err)
			}
		}
		db.Close()
	}
}

func TestFirstRecordWins(t *testing.T) {
	b := NewBuilder(nil)
	b.Put([]byte("a"), []byte("1"))
	b.Put([]byte("a"), []byte("2"))
	content, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "cdb")
	write(t, name, content)
	db, err := OpenCDB(name)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if v, _, _ := db.Get([]byte("a")); string(v) != "1" {
		t.Errorf("got %q", v)
	}
}

// The library would lose a record whose key has hash 0.
func TestHashZero(t *testing.T) {
	b := NewBuilder(nil)
	b.Put([]byte("vtew9nea.example\x00"), []byte("x"))
	b.Put([]byte("a"), []byte("x"))
	if content, err := b.Bytes(); !errors.Is(err, ErrKey) || content != nil {
		t.Errorf("got %v", err)
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenCDB(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	if _, err := OpenCDB(dir); err == nil {
		t.Error("a directory was opened")
	}
	name, good := build(t, 5, 10)
	for reason, content := range map[string][]byte{
		"empty": nil, "cut": good[:len(good)-1], "longer": append(bytes.Clone(good), 0),
		"zeros": make([]byte, len(good)), "index only": good[:indexSize],
	} {
		write(t, name, content)
		if _, err := OpenCDB(name); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", reason, err)
		}
	}
	for i := range good { // all of a small file is checked
		bad := bytes.Clone(good)
		bad[i]++
		write(t, name, bad)
		if _, err := OpenCDB(name); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

// What the library would take for 4 GB, or for a sum that wraps, is an error.
func TestLengthsAreJudged(t *testing.T) {
	name, good := build(t, 20_000, 3) // large: no checksum
	at := int64(bytes.Index(good, key(777))) - 8
	for _, lengths := range [][2]uint32{{6, 1<<32 - 1}, {6, 1<<32 - 6}, {6, 1 << 31}, {1<<32 - 1, 1<<32 - 1}} {
		bad := bytes.Clone(good)
		binary.LittleEndian.PutUint32(bad[at:], lengths[0])
		binary.LittleEndian.PutUint32(bad[at+4:], lengths[1])
		write(t, name, bad)
		db, err := OpenCDB(name)
		if err != nil {
			t.Fatal(err)
		}
		if v, ok, err := db.Get(key(777)); ok || !errors.Is(err, ErrDamaged) {
			t.Errorf("%v: %d bytes, %v, %v", lengths, len(v), ok, err)
		}
		db.Close()
	}
}

// FuzzDamage: a large file with any bytes changed answers or errs.
func FuzzDamage(f *testing.F) {
	_, good := build(f, 5_000, 3)
	tables := int(binary.LittleEndian.Uint32(good))
	f.Add(0, []byte{0xff, 0xff, 0xff, 0xff}, 1)
	f.Add(tables, bytes.Repeat([]byte{0xff}, 8000), 2)
	f.Add(indexSize+100, bytes.Repeat([]byte{0xff}, 60_000), 3)
	f.Fuzz(func(t *testing.T, at int, with []byte, ask int) {
		if at < 0 || at > len(good) {
			return
		}
		bad := bytes.Clone(good)
		copy(bad[at:], with)
		db, err := NewCDB(bytes.NewReader(bad), int64(len(bad)))
		if err != nil {
			return
		}
		for i := ask; i < ask+20; i++ {
			if v, _, err := db.Get(key(i)); err == nil && len(v) > len(good) {
				t.Errorf("%d bytes of a file of %d", len(v), len(good))
			}
		}
	})
}

func TestMemory(t *testing.T) {
	var m memory
	for _, bad := range []struct {
		off    int64
		whence int
	}{{-1, 0}, {1, 0}, {0, 1}} {
		if _, err := m.Seek(bad.off, bad.whence); err == nil {
			t.Errorf("seek to %+v", bad)
		}
	}
	for _, s := range []string{"hello", " world"} {
		if n, err := m.Write([]byte(s)); n != len(s) || err != nil {
			t.Error(n, err)
		}
	}
	if _, err := m.Seek(3, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Write([]byte(strings.Repeat("x", 10))); err != nil || string(m.b) != "helxxxxxxxxxx" {
		t.Errorf("%q, %v", m.b, err)
	}
}
