package resolver

import (
	"bytes"
	"encoding/binary"
	"strings"

	"postrider/internal/ascii"
)

// Types asked for or looked at, and the one class (RFC 1035 §3.2, RFC 3596, RFC
// 6698, RFC 6891). What is needed of DNS messages is so little that no library
// is linked for it into a program that lives for one delivery.
const (
	typeA     = 1
	typeCNAME = 5
	typeSOA   = 6
	typeMX    = 15
	typeAAAA  = 28
	typeOPT   = 41
	typeTLSA  = 52
	classIN   = 1
)

// Response codes (RFC 1035 §4.1.1; BADVERS: RFC 6891 §9).
const (
	rcodeOK       = 0
	rcodeFormErr  = 1
	rcodeServFail = 2
	rcodeNXDomain = 3
	rcodeNotImp   = 4
	rcodeRefused  = 5
	rcodeBadVers  = 16
)

// Header bits of the second 16-bit word (RFC 1035 §4.1.1; AD: RFC 4035 §3.2.3).
const (
	flagQR     = 1 << 15
	maskOpcode = 15 << 11
	flagAA     = 1 << 10
	flagTC     = 1 << 9
	flagRD     = 1 << 8
	flagRA     = 1 << 7
	flagAD     = 1 << 5
	maskRcode  = 15
)

const (
	headerLen = 12
	optLen    = 11
	// udpSize is the largest UDP answer asked for: it fits an IPv6 path of the
	// least MTU unfragmented, so that no second fragment can be forged.
	udpSize = 1232
)

// question is one question, packed once for all its tries. One goroutine has it.
type question struct {
	name string
	typ  uint16
	// wire is room for TCP's length (RFC 1035 §4.2.2), the header, the question,
	// which ends at end, and an EDNS0 OPT record.
	wire []byte
	end  int
}

// newQuestion packs a question about an askable name. The AD bit in it asks for
// the AD bit in the answer, without the signatures that DO would bring
// (RFC 6840 §5.7).
func newQuestion(name string, typ uint16) *question {
	w := make([]byte, 2+headerLen, 2+headerLen+len(name)+2+4+optLen)
	binary.BigEndian.PutUint16(w[4:], flagRD|flagAD)
	binary.BigEndian.PutUint16(w[6:], 1) // QDCOUNT
	for rest, more := name, true; more; {
		var label string
		label, rest, more = strings.Cut(rest, ".")
		w = append(w, byte(len(label)))
		w = append(w, label...)
	}
	w = append(w, 0)
	w = binary.BigEndian.AppendUint16(w, typ)
	w = binary.BigEndian.AppendUint16(w, classIN)
	end := len(w)
	w = append(w, 0) // OPT: the root, type, size, rcode and flags, no options
	w = binary.BigEndian.AppendUint16(w, typeOPT)
	w = binary.BigEndian.AppendUint16(w, udpSize)
	w = append(w, 0, 0, 0, 0, 0, 0)
	return &question{name: name, typ: typ, wire: w, end: end}
}

// packet is the question under an ID, behind its length as TCP wants it.
func (q *question) packet(id uint16, edns bool) []byte {
	w := q.wire[:q.end]
	if edns {
		w = q.wire
	}
	binary.BigEndian.PutUint16(w, uint16(len(w)-2))
	binary.BigEndian.PutUint16(w[2:], id)
	binary.BigEndian.PutUint16(w[12:], uint16((len(w)-q.end)/optLen)) // ARCOUNT
	return w
}

// answeredBy reports whether msg is an answer to this question, asked under id.
// The question must come back byte for byte: it was asked in lower case, so a
// server has nothing to change in it.
func (q *question) answeredBy(msg []byte, id uint16) bool {
	if len(msg) < headerLen || binary.BigEndian.Uint16(msg) != id {
		return false
	}
	flags := binary.BigEndian.Uint16(msg[2:])
	if flags&flagQR == 0 || flags&maskOpcode != 0 {
		return false
	}
	switch binary.BigEndian.Uint16(msg[4:]) {
	case 0: // Field: some refusals are a header alone; nothing but a refusal may be
		rcode := flags & maskRcode
		return rcode != rcodeOK && rcode != rcodeNXDomain
	case 1:
		return bytes.HasPrefix(msg[headerLen:], q.wire[2+headerLen:q.end])
	}
	return false
}

// reply is a server's answer to one question, framed but not yet understood.
type reply struct {
	msg     []byte
	asked   uint16 // the type asked for
	flags   uint16
	rcode   int
	records []record // answer section, class IN: CNAMEs and the type asked for
	soa     string   // owner of the SOA in the authority section
	hasSOA  bool
	soaTTL  uint32 // how long that SOA denies (RFC 2308 §5)
	ttl     uint32 // the lowest of the links and records that follow and end found
	secure  bool   // AD, from a server that may be believed
}

// maxTTL is the longest TTL there is, in seconds (RFC 2181 §8).
const maxTTL = 1<<31 - 1

// record is one resource record; its data is reply.msg[at:end].
type record struct {
	owner   string
	typ     uint16
	ttl     uint32
	at, end int
}

// parse frames an answer that answeredBy has let pass. Data that is wrong inside
// its length is found out only if it is wanted; wrong lengths end the message.
func (q *question) parse(msg []byte) (*reply, error) {
	m := &reply{msg: msg, asked: q.typ, flags: binary.BigEndian.Uint16(msg[2:]), ttl: maxTTL}
	m.rcode = int(m.flags & maskRcode)
	if binary.BigEndian.Uint16(msg[4:]) == 0 {
		return m, nil
	}
	off := headerLen + q.end - (2 + headerLen)
	for section := 0; section < 3; section++ {
		for n := binary.BigEndian.Uint16(msg[6+2*section:]); n > 0; n-- {
			owner, at, ok := unpackName(msg, off)
			if !ok || len(msg)-at < 10 {
				return nil, errGarbled
			}
			r := record{owner: owner, typ: binary.BigEndian.Uint16(msg[at:]), ttl: ttlAt(msg[at+4:]), at: at + 10}
			r.end = r.at + int(binary.BigEndian.Uint16(msg[at+8:]))
			if r.end > len(msg) {
				return nil, errGarbled
			}
			m.take(section, r)
			off = r.end
		}
	}
	return m, nil
}

// take files one record of a section (0 answer, 1 authority, 2 additional).
func (m *reply) take(section int, r record) {
	class := binary.BigEndian.Uint16(m.msg[r.at-8:])
	switch {
	case section == 2 && r.typ == typeOPT: // RFC 6891 §6.1.3: the upper bits of the rcode
		m.rcode |= int(m.msg[r.at-6]) << 4
	case class != classIN:
	case section == 0 && (r.typ == m.asked || r.typ == typeCNAME):
		m.records = append(m.records, r)
	case section == 1 && r.typ == typeSOA:
		m.soa, m.hasSOA, m.soaTTL = r.owner, true, 0
		if r.end-r.at >= 4 { // MINIMUM stands last (RFC 1035 §3.3.13)
			m.soaTTL = min(r.ttl, ttlAt(m.msg[r.end-4:]))
		}
	}
}

// ttlAt reads a TTL; one with its highest bit set is zero (RFC 2181 §8).
func ttlAt(b []byte) uint32 {
	if n := binary.BigEndian.Uint32(b); n <= maxTTL {
		return n
	}
	return 0
}

// name is the domain name that fills msg[at:end].
func (m *reply) name(at, end int) (string, bool) {
	name, off, ok := unpackName(m.msg[:end], at)
	return name, ok && off == end
}

// unpackName reads a name (RFC 1035 §4.1.4) and where it ends: lower case, no
// final dot, the root "". A byte that no host's name has comes behind a backslash,
// so that the name compares with no name that is asked for. A name of more than
// 255 bytes is none, nor is one that leads through more pointers than labels fit.
func unpackName(msg []byte, off int) (string, int, bool) {
	const maxPointers = 126
	var room [256]byte
	name, end, size, pointers := room[:0], 0, 1, 0
	for {
		if off >= len(msg) {
			return "", 0, false
		}
		n := int(msg[off])
		off++
		switch {
		case n == 0:
			if pointers == 0 {
				end = off
			}
			return string(bytes.TrimSuffix(name, []byte{'.'})), end, true
		case n < 64:
			if size += n + 1; size > 255 || off+n > len(msg) {
				return "", 0, false
			}
			name = append(appendLabel(name, msg[off:off+n]), '.')
			off += n
		case n < 0xc0 || off == len(msg) || pointers == maxPointers: // 01 and 10 are reserved
			return "", 0, false
		default:
			if pointers++; pointers == 1 {
				end = off + 1
			}
			off = (n&0x3f)<<8 | int(msg[off])
		}
	}
}

func appendLabel(name, label []byte) []byte {
	for _, c := range label {
		c = ascii.Lower(c)
		if odd(c) {
			name = append(name, '\\')
		}
		name = append(name, c)
	}
	return name
}
