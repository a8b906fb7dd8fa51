package tcpto

import (
	"bytes"
	"encoding/binary"
)

// layout is how a file keeps its records, all of one size:
//
//	tcpto    4 bytes address, 1 count, 3 zero, 4 time, 4 zero       64 records
//	tcpto6  16 bytes address, 1 count, 3 zero, 8 time, 4 zero      256 records
//
// The time is in seconds since 1970, little-endian. A record whose count is 0
// is free; its address stays, so that it is found again.
type layout struct {
	addr, time int // bytes of these fields
	size       int // of a record, in bytes
	most       int // records
}

// Stock's file, which is never made nor resized here, and ours, which is.
var (
	layout4 = layout{addr: 4, time: 4, size: 16, most: 64}
	layout6 = layout{addr: 16, time: 8, size: 32, most: 256}
)

// maxCount is where the count of timeouts stops.
const maxCount = 10

// whole is how many bytes a complete file has.
func (l layout) whole() int { return l.size * l.most }

// at is the record that begins at the offset off of buf.
func (l layout) at(buf []byte, off int) record {
	return record{layout: l, off: off, b: buf[off : off+l.size]}
}

// find is the first record of an address, free or not, and whether there is one.
// buf holds whole records.
func (l layout) find(buf, addr []byte) (record, bool) {
	for off := 0; off < len(buf); off += l.size {
		if bytes.Equal(buf[off:off+l.addr], addr) {
			return l.at(buf, off), true
		}
	}
	return record{}, false
}

// victim is the record that gives way to a new address: the first free one,
// else the one whose last timeout is oldest, where each timeout of the count
// makes it 1024 seconds younger. There is none when buf is empty.
func (l layout) victim(buf []byte) (record, bool) {
	var best record
	var least int64
	for off := 0; off < len(buf); off += l.size {
		r := l.at(buf, off)
		if r.count() == 0 {
			return r, true
		}
		if worth := r.when() + int64(r.count())<<10; best.b == nil || worth < least {
			best, least = r, worth
		}
	}
	return best, best.b != nil
}

// record is one record, in place.
type record struct {
	layout
	off int // of b in the file
	b   []byte
}

func (r record) address() []byte { return r.b[:r.addr] }

// count is the number of timeouts; no file of stock's has one above maxCount.
func (r record) count() int { return int(r.b[r.addr]) }

// when is the time of the last timeout, in seconds since 1970.
func (r record) when() int64 {
	b := r.b[r.addr+4:]
	if r.time == 4 {
		return int64(binary.LittleEndian.Uint32(b))
	}
	// 41 bits reach beyond the year 70000. What is not a time must not make
	// sums overflow.
	return int64(binary.LittleEndian.Uint64(b) & (1<<41 - 1))
}

// set writes the count, as far as it may go, and the time.
func (r record) set(count int, when int64) {
	r.b[r.addr] = byte(min(count, maxCount))
	b := r.b[r.addr+4:]
	if r.time == 4 {
		binary.LittleEndian.PutUint32(b, uint32(when))
	} else {
		binary.LittleEndian.PutUint64(b, uint64(when))
	}
}

// free leaves the address and the time, as stock does.
func (r record) free() { r.b[r.addr] = 0 }
