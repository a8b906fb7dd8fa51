package constmap

import (
	"encoding/binary"
	"errors"
	"hash/fnv"
	"io"
	"math"
	"syscall"

	"github.com/colinmarc/cdb"
)

// A cdb file begins with 256 pointers to hash tables, of 8 bytes each, has its
// records after them and the tables, without gaps, at its end. In a file of
// Builder's the first record is the seal: under a key that its user may not
// have, the FNV-1a hash of the file (as if these four bytes were 0) and the stamp.
const (
	indexSize = 256 * 8
	sealKey   = "postrider seal"
	sealAt    = indexSize + 8 + len(sealKey) // of the hash
)

// A file up to wholly bytes is read and checked as a whole, with one system
// call; of a larger one just its head, and then what a look-up needs.
const (
	wholly = 64 << 10
	head   = 4 << 10
)

var (
	// ErrDamaged is a cdb file that cannot be what a Builder made.
	ErrDamaged = errors.New("constmap: damaged cdb file")
	// ErrKey is a key that this cdb library cannot store: one with hash 0.
	ErrKey = errors.New("constmap: key cannot be stored")
)

// CDB is an open cdb file. It is not for concurrent use.
//
// It survives every damage: a Get either errs or answers, in bounded time and
// memory. In a small file all damage is found when it is opened; in a large one
// whatever makes its structure impossible, but not a changed byte in a record.
type CDB struct {
	src source
	db  *cdb.CDB
	// Stamp is what the Builder was given.
	Stamp []byte
}

// OpenCDB opens a file made by a Builder, and no other.
func OpenCDB(name string) (*CDB, error) {
	fd, err := again(func() (int, error) {
		return syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, err
	}
	var st syscall.Stat_t
	var c *CDB
	if err = syscall.Fstat(fd, &st); err == nil {
		c, err = NewCDB(descriptor(fd), st.Size)
	}
	if err != nil {
		syscall.Close(fd)
		return nil, err
	}
	return c, nil
}

// NewCDB is a CDB that is read from r, which has so many bytes. Closing the CDB
// closes r, if that can be closed.
func NewCDB(r io.ReaderAt, size int64) (*CDB, error) {
	c := &CDB{src: source{r: r, size: size}}
	n := size
	if n > wholly {
		n = head
	}
	c.src.head = make([]byte, n)
	err := c.src.read(c.src.head, 0)
	if err == nil {
		err = c.unseal()
	}
	if err == nil {
		c.db, err = cdb.New(&c.src, nil)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// unseal checks the seal and finds the stamp.
func (c *CDB) unseal() error {
	b := c.src.head
	if len(b) < sealAt+4 || string(b[indexSize+8:sealAt]) != sealKey ||
		binary.LittleEndian.Uint32(b[indexSize:]) != uint32(len(sealKey)) {
		return ErrDamaged
	}
	end := uint64(sealAt) + uint64(binary.LittleEndian.Uint32(b[indexSize+4:]))
	if end < uint64(sealAt)+4 || end > uint64(len(b)) {
		return ErrDamaged
	}
	c.Stamp = b[sealAt+4 : end]
	if int64(len(b)) == c.src.size && checksum(b) != binary.LittleEndian.Uint32(b[sealAt:]) {
		return ErrDamaged
	}
	return nil
}

// Get is the value of key, compared byte for byte, and whether it has one.
func (c *CDB) Get(key []byte) ([]byte, bool, error) {
	value, err := c.db.Get(key)
	return value, value != nil, err
}

// Close closes the file.
func (c *CDB) Close() {
	if r, ok := c.src.r.(io.Closer); ok {
		r.Close()
	}
}

// source is the file as the cdb library reads it. The library believes what it
// reads: a length of 4 GB would be allocated, and two lengths whose sum wraps
// around would panic. So each read is judged here by its place and size.
type source struct {
	r      io.ReaderAt
	size   int64
	head   []byte // the first bytes of the file, or all
	tables int64  // where the hash tables begin
	body   int64  // where the record begins whose header was read last; else 0
}

// ReadAt implements io.ReaderAt for package cdb.
func (s *source) ReadAt(p []byte, off int64) (int, error) {
	var err error
	if end := off + int64(len(p)); end <= int64(len(s.head)) {
		copy(p, s.head[off:end])
	} else {
		err = s.read(p, off)
	}
	if err == nil {
		err = s.judge(p, off)
	}
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// judge checks what was read at off. The library reads the index first, and
// then, each time, a slot of a hash table, maybe the header of the record that
// it points to, and maybe that record's body.
func (s *source) judge(p []byte, off int64) error {
	if off == 0 {
		return s.checkIndex(p)
	}
	if off == s.body && off < s.tables || len(p) == 0 {
		return nil
	}
	first := int64(binary.LittleEndian.Uint32(p))
	second := int64(binary.LittleEndian.Uint32(p[4:]))
	s.body = 0
	if off < s.tables { // a header: the lengths of key and value
		s.body = off + 8
		if s.body+first+second > s.tables {
			return ErrDamaged
		}
	} else if first != 0 && (second < indexSize || second > s.tables-8) { // a slot: hash and place
		return ErrDamaged
	}
	return nil
}

// checkIndex finds out whether the tables follow one another to the end.
func (s *source) checkIndex(p []byte) error {
	s.tables = int64(binary.LittleEndian.Uint32(p))
	at := s.tables
	for i := 0; i < len(p); i += 8 {
		if int64(binary.LittleEndian.Uint32(p[i:])) != at {
			return ErrDamaged
		}
		at += 8 * int64(binary.LittleEndian.Uint32(p[i+4:]))
	}
	if at != s.size || s.tables < indexSize || s.size > math.MaxUint32 {
		return ErrDamaged
	}
	return nil
}

// read fills p; a file that has become shorter is damaged.
func (s *source) read(p []byte, off int64) error {
	_, err := s.r.ReadAt(p, off)
	if err == io.EOF {
		err = ErrDamaged
	}
	return err
}

// descriptor is an open file as an io.ReaderAt, without what an *os.File costs.
type descriptor int

func (d descriptor) ReadAt(p []byte, off int64) (int, error) {
	done := 0
	for done < len(p) {
		n, err := again(func() (int, error) { return syscall.Pread(int(d), p[done:], off+int64(done)) })
		if err != nil {
			return done, err
		}
		if n == 0 {
			return done, io.EOF
		}
		done += n
	}
	return done, nil
}

func (d descriptor) Close() error { return syscall.Close(int(d)) }

// again repeats a system call that a signal interrupted.
func again(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return n, err
		}
	}
}

// Builder makes the content of a cdb file, in memory. The zero Builder is not
// usable. After an error it makes nothing.
type Builder struct {
	mem memory
	w   *cdb.Writer
	err error
}

// NewBuilder begins a file with a stamp, at most 1 kB, that OpenCDB gives back.
func NewBuilder(stamp []byte) *Builder {
	b := &Builder{}
	b.w, b.err = cdb.NewWriter(&b.mem, nil)
	b.Put([]byte(sealKey), append(make([]byte, 4), stamp...))
	return b
}

// Put adds a record. Of several with one key, Get finds the first.
func (b *Builder) Put(key, value []byte) {
	if b.err == nil && hash(key) == 0 {
		b.err = ErrKey
	}
	if b.err == nil {
		b.err = b.w.Put(key, value)
	}
}

// Bytes is the file. No Put may follow.
func (b *Builder) Bytes() ([]byte, error) {
	if b.err == nil {
		b.err = b.w.Close()
	}
	if b.err != nil {
		return nil, b.err
	}
	binary.LittleEndian.PutUint32(b.mem.b[sealAt:], checksum(b.mem.b))
	return b.mem.b, nil
}

// hash is cdb's hash function. The library takes a slot with hash 0 for a free
// one, and would lose the record.
func hash(key []byte) uint32 {
	h := uint32(5381)
	for _, c := range key {
		h = (h<<5 + h) ^ uint32(c)
	}
	return h
}

// checksum is the FNV-1a hash of a sealed file, as if the one in it were 0. Unlike
// CRC-32 it needs no tables, which every process that reads a file would build.
func checksum(b []byte) uint32 {
	sum := fnv.New32a()
	sum.Write(b[:sealAt])
	sum.Write(make([]byte, 4))
	sum.Write(b[sealAt+4:])
	return sum.Sum32()
}

// memory is an io.WriteSeeker, as far as a cdb.Writer needs one.
type memory struct {
	b  []byte
	at int
}

func (m *memory) Write(p []byte) (int, error) {
	n := copy(m.b[m.at:], p)
	m.b = append(m.b, p[n:]...)
	m.at += len(p)
	return len(p), nil
}

func (m *memory) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 || offset > int64(len(m.b)) {
		return 0, errors.ErrUnsupported
	}
	m.at = int(offset)
	return offset, nil
}
