package smtp

import (
	"encoding/binary"
	"errors"
)

// recordVersion begins every record, so that two of our programs from
// different releases do not misunderstand each other.
const recordVersion = 1

// maxNumber is what a number in a record may be at most: no length comes near it.
const maxNumber = 1<<31 - 1

var errRecord = errors.New("smtp: malformed transaction record")

// AppendTo appends the record that ParseTransaction reads:
//
//	record = version stage fault reply detail version-of-TLS cipher verified count *reply
//	reply  = code count *line
//	line, detail, … = length bytes
//
// Version, stage and fault are one byte, the other numbers uvarints. No proper
// prefix of a record is a record, so a writer that died is noticed.
func (t *Transaction) AppendTo(dst []byte) []byte {
	dst = append(dst, recordVersion, byte(t.Stage), byte(t.Fault))
	dst = appendReply(dst, t.Reply)
	for _, s := range [...]string{t.Detail, t.TLS.Version, t.TLS.Cipher, t.TLS.Verified} {
		dst = appendString(dst, s)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Rcpts)))
	for _, r := range t.Rcpts {
		dst = appendReply(dst, r)
	}
	return dst
}

func appendReply(dst []byte, r Reply) []byte {
	dst = binary.AppendUvarint(dst, uint64(r.Code))
	dst = binary.AppendUvarint(dst, uint64(len(r.Lines)))
	for _, line := range r.Lines {
		dst = appendString(dst, line)
	}
	return dst
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}

// ParseTransaction reads one whole record. What it allocates is bounded by a
// small multiple of len(b). Anything missing, left over or out of range is an error.
func ParseTransaction(b []byte) (Transaction, error) {
	if len(b) < 3 || b[0] != recordVersion || int(b[1]) >= len(stageNames) || int(b[2]) >= len(faultNames) {
		return Transaction{}, errRecord
	}
	p := recordParser{num: b[3:], str: string(b[3:])}
	var t Transaction
	t.Stage, t.Fault = Stage(b[1]), Fault(b[2])
	t.Reply = p.reply()
	t.Detail = p.string()
	t.TLS = Security{Version: p.string(), Cipher: p.string(), Verified: p.string()}
	if n := p.count(2); n > 0 { // a reply takes two bytes at least
		t.Rcpts = make([]Reply, n)
		for i := range t.Rcpts {
			t.Rcpts[i] = p.reply()
		}
	}
	if p.failed || len(p.num) != 0 {
		return Transaction{}, errRecord
	}
	return t, nil
}

// recordParser takes fields off num and str, which are the same bytes: so all
// strings of a record are parts of one. Once failed, it gives zeros.
type recordParser struct {
	num    []byte
	str    string
	failed bool
}

func (p *recordParser) skip(n int) {
	p.num, p.str = p.num[n:], p.str[n:]
}

func (p *recordParser) number() int {
	v, n := binary.Uvarint(p.num)
	if p.failed || n <= 0 || v > maxNumber {
		p.failed = true
		return 0
	}
	p.skip(n)
	return int(v)
}

// count is the number of things to come that take size bytes at least.
func (p *recordParser) count(size int) int {
	n := p.number()
	if n > len(p.num)/size {
		p.failed = true
		return 0
	}
	return n
}

func (p *recordParser) string() string {
	n := p.count(1)
	s := p.str[:n]
	p.skip(n)
	return s
}

func (p *recordParser) reply() Reply {
	r := Reply{Code: p.number()}
	if r.Code > 999 {
		p.failed = true
	}
	if n := p.count(1); n > 0 {
		r.Lines = make([]string, n)
		for i := range r.Lines {
			r.Lines[i] = p.string()
		}
	}
	return r
}
