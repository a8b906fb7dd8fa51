package constmap

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"syscall"
)

// maxPlainValue bounds a value of a Plain, in bytes.
const maxPlainValue = 1 << 20

// Plain is a cdb file that somebody else made: qmail-newmrh, ofmipname, or any
// other cdbmake. Nothing vouches for what is in it, so every place and length
// in it is judged before it is followed: Get errs or answers, in memory bounded
// by maxPlainValue and in time bounded by the file's size. It is not for
// concurrent use.
type Plain struct {
	r    io.ReaderAt
	size int64
}

// OpenPlain opens the file. It need not be a whole cdb: ErrDamaged comes where a
// Get meets the damage, or from here if there is not even an index.
func OpenPlain(name string) (*Plain, error) {
	fd, err := again(func() (int, error) {
		return syscall.Open(name, syscall.O_RDONLY|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	})
	if err != nil {
		return nil, err
	}
	var st syscall.Stat_t
	var p *Plain
	if err = syscall.Fstat(fd, &st); err == nil {
		p, err = NewPlain(descriptor(fd), st.Size)
	}
	if err != nil {
		syscall.Close(fd)
		return nil, err
	}
	return p, nil
}

// NewPlain is a Plain that is read from r, which has so many bytes. Closing the
// Plain closes r, if that can be closed.
func NewPlain(r io.ReaderAt, size int64) (*Plain, error) {
	if size < indexSize || size > math.MaxUint32 {
		return nil, ErrDamaged
	}
	return &Plain{r: r, size: size}, nil
}

// Get is the value of key, compared byte for byte, and whether it has one. Of
// several the first counts.
func (p *Plain) Get(key []byte) ([]byte, bool, error) {
	h := hash(key)
	table, slots, err := p.pair(int64(h&0xff) * 8)
	if err != nil || slots == 0 {
		return nil, false, err
	}
	if table < indexSize || table+8*slots > p.size {
		return nil, false, ErrDamaged
	}
	at := int64(h>>8) % slots
	for range slots {
		slot, record, err := p.pair(table + 8*at)
		if err != nil || record == 0 { // a free slot ends the search
			return nil, false, err
		}
		if uint32(slot) == h {
			if value, found, err := p.record(record, key); found || err != nil {
				return value, found, err
			}
		}
		at = (at + 1) % slots
	}
	return nil, false, nil
}

// record is the value of the record there, if it has that key.
func (p *Plain) record(at int64, key []byte) (value []byte, found bool, err error) {
	if at < indexSize {
		return nil, false, ErrDamaged
	}
	keyLen, valueLen, err := p.pair(at)
	if err != nil {
		return nil, false, err
	}
	if at+8+keyLen+valueLen > p.size {
		return nil, false, ErrDamaged
	}
	if keyLen != int64(len(key)) {
		return nil, false, nil
	}
	have := make([]byte, keyLen)
	if err := p.read(have, at+8); err != nil || !bytes.Equal(have, key) {
		return nil, false, err
	}
	if valueLen > maxPlainValue {
		return nil, false, ErrDamaged
	}
	value = make([]byte, valueLen)
	if err := p.read(value, at+8+keyLen); err != nil {
		return nil, false, err
	}
	return value, true, nil
}

// pair reads the two numbers that a pointer, a slot and a record begin with.
func (p *Plain) pair(at int64) (first, second int64, err error) {
	var b [8]byte
	err = p.read(b[:], at)
	return int64(binary.LittleEndian.Uint32(b[:])), int64(binary.LittleEndian.Uint32(b[4:])), err
}

// read fills b; what the file does not have is damage.
func (p *Plain) read(b []byte, at int64) error {
	_, err := p.r.ReadAt(b, at)
	if err == io.EOF {
		err = ErrDamaged
	}
	return err
}

// Close closes the file.
func (p *Plain) Close() {
	if r, ok := p.r.(io.Closer); ok {
		r.Close()
	}
}
