package constmap

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"testing"
)

// makePlain is a cdb as cdbmake makes it: index, records, tables.
func makePlain(records ...[2]string) []byte {
	le := binary.LittleEndian
	file := make([]byte, indexSize)
	tables := make([][][2]uint32, 256)
	for _, r := range records {
		h := hash([]byte(r[0]))
		tables[h&0xff] = append(tables[h&0xff], [2]uint32{h, uint32(len(file))})
		file = le.AppendUint32(le.AppendUint32(file, uint32(len(r[0]))), uint32(len(r[1])))
		file = append(append(file, r[0]...), r[1]...)
	}
	for i, table := range tables {
		slots := make([][2]uint32, 2*len(table))
		le.PutUint32(file[8*i:], uint32(len(file)))
		le.PutUint32(file[8*i+4:], uint32(len(slots)))
		for _, s := range table {
			at := int(s[0]>>8) % len(slots)
			for slots[at][1] != 0 {
				at = (at + 1) % len(slots)
			}
			slots[at] = s
		}
		for _, s := range slots {
			file = le.AppendUint32(le.AppendUint32(file, s[0]), s[1])
		}
	}
	return file
}

func numbered(n int) (records [][2]string) {
	for i := range n {
		records = append(records, [2]string{string(key(i)), string(value(i, i%7))})
	}
	return records
}

func TestPlain(t *testing.T) {
	for _, n := range []int{0, 1, 2, 300, 20_000} {
		name := filepath.Join(t.TempDir(), "cdb")
		write(t, name, makePlain(numbered(n)...))
		p, err := OpenPlain(name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if v, ok, err := p.Get(key(i)); !bytes.Equal(v, value(i, i%7)) || !ok || err != nil {
				t.Fatalf("%d of %d: %q, %v, %v", i, n, v, ok, err)
			}
		}
		for _, absent := range []string{"", "key", "key-1", "keyn"} {
			if v, ok, err := p.Get([]byte(absent)); ok || err != nil {
				t.Errorf("%s: %q, %v", absent, v, err)
			}
		}
		p.Close()
		if _, _, err := p.Get(key(0)); err == nil {
			t.Error("it can be read when it is closed")
		}
	}
}

// What the cdb library cannot have, a plain file can: a key with hash 0, and a
// key twice.
func TestPlainOddKeys(t *testing.T) {
	zero := "vtew9nea.example\x00"
	content := makePlain([2]string{zero, "z"}, [2]string{"a", "1"}, [2]string{"a", "2"}, [2]string{"", "empty"})
	p, err := NewPlain(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for key, want := range map[string]string{zero: "z", "a": "1", "": "empty"} {
		if v, ok, err := p.Get([]byte(key)); string(v) != want || !ok || err != nil {
			t.Errorf("%q: %q, %v, %v", key, v, ok, err)
		}
	}
}

// A file of Builder's is a cdb like others.
func TestPlainReadsSealed(t *testing.T) {
	name, _ := build(t, 100, 4)
	p, err := OpenPlain(name)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if v, ok, err := p.Get(key(42)); !bytes.Equal(v, value(42, 4)) || !ok || err != nil {
		t.Errorf("%q, %v, %v", v, ok, err)
	}
}

func TestPlainOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := OpenPlain(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
	p, err := OpenPlain(dir)
	if err == nil { // large enough, as directories go
		_, _, err = p.Get([]byte("a"))
	}
	if err == nil {
		t.Error("a directory answers")
	}
	name := filepath.Join(dir, "cdb")
	for _, content := range [][]byte{nil, make([]byte, indexSize-1)} {
		write(t, name, content)
		if _, err := OpenPlain(name); !errors.Is(err, ErrDamaged) {
			t.Errorf("%d bytes: %v", len(content), err)
		}
	}
}

// Every byte changed to every bad value, and every cut: an answer that was
// there before, or none, or an error, and never more.
func TestPlainDamage(t *testing.T) {
	good := makePlain(numbered(3)...)
	try := func(content []byte) {
		p, err := NewPlain(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return
		}
		for i := range 4 {
			if v, ok, err := p.Get(key(i)); err == nil && ok && len(v) > len(content) {
				t.Errorf("%d bytes from nowhere", len(v))
			}
		}
	}
	for i := range good {
		try(good[:i])
		for _, c := range []byte{0, 1, 0x7f, 0x80, 0xff, good[i] + 1} {
			bad := slices.Clone(good)
			bad[i] = c
			try(bad)
		}
	}
}

// A table all of whose slots are taken, and a slot that claims 4 GB.
func TestPlainImpossible(t *testing.T) {
	le := binary.LittleEndian
	h := hash([]byte("a"))
	content := makePlain([2]string{"a", "1"})
	index := int64(h&0xff) * 8
	table := le.Uint32(content[index:])
	for reason, damage := range map[string]func(b []byte){
		"table outside":     func(b []byte) { le.PutUint32(b[index:], 0xfffffff0) },
		"table in index":    func(b []byte) { le.PutUint32(b[index:], 8) },
		"too many slots":    func(b []byte) { le.PutUint32(b[index+4:], 0xffffffff) },
		"record outside":    func(b []byte) { le.PutUint32(b[table+8*(h>>8%2)+4:], 0xfffffff0) },
		"record in index":   func(b []byte) { le.PutUint32(b[table+8*(h>>8%2)+4:], 8) },
		"key without end":   func(b []byte) { le.PutUint32(b[indexSize:], 0xffffffff) },
		"value without end": func(b []byte) { le.PutUint32(b[indexSize+4:], 0xffffffff) },
	} {
		b := slices.Clone(content)
		damage(b)
		p, err := NewPlain(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			t.Fatal(err)
		}
		if v, _, err := p.Get([]byte("a")); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %q, %v", reason, v, err)
		}
	}
}
