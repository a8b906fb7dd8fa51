package dnstest

import (
	"slices"

	"github.com/miekg/dns"
)

// chase is how many CNAMEs one answer holds; the asker follows the rest.
const chase = 8

// response is what a server does about a question.
type response struct {
	msg    []byte // nil: nothing at all
	hangUp bool   // reset the TCP connection instead
}

// respond answers the bytes of a question; asked is it as "name. TYPE", empty
// when it is none.
func (b *book) respond(wire []byte, tcp bool) (r response, asked string) {
	var q dns.Msg
	if q.Unpack(wire) != nil || q.Response || len(q.Question) != 1 {
		return response{}, ""
	}
	asked = q.Question[0].Name + " " + dns.TypeToString[q.Question[0].Qtype]
	m := new(dns.Msg).SetReply(&q)
	m.RecursionAvailable, m.Compress = true, true
	opt := q.IsEdns0()
	if opt != nil {
		m.SetEdns0(1232, opt.Do())
	}
	marks, secure := b.fill(m)
	m.AuthenticatedData = secure && (q.AuthenticatedData || opt != nil && opt.Do())
	if slices.Contains(marks, "!timeout") || slices.Contains(marks, "!drop") {
		return response{}, asked
	}
	if tcp && slices.Contains(marks, "!tcrefused") {
		return response{hangUp: true}, asked
	}
	for _, mark := range marks {
		misbehave(m, mark, tcp, opt != nil)
	}
	return response{msg: pack(m, opt, tcp, slices.Contains(marks, "!garbage"))}, asked
}

// fill puts the records for m's question into m, with the CNAMEs on the way. It
// returns the marks of the last set, and whether all names on the way are secure.
func (b *book) fill(m *dns.Msg) (marks []string, secure bool) {
	name, typ := dns.CanonicalName(m.Question[0].Name), dns.TypeToString[m.Question[0].Qtype]
	secure = true
	for range chase {
		secure = secure && b.isSecure(name)
		s, alias := b.find(name, typ)
		if s == nil {
			if !b.names[name] {
				m.Rcode = dns.RcodeNameError
			}
			m.Ns = soa()
			return nil, secure
		}
		m.Answer = append(m.Answer, s.records...)
		if !alias || len(s.records) == 0 {
			return s.marks, secure
		}
		name, marks = dns.CanonicalName(s.records[0].(*dns.CNAME).Target), s.marks
	}
	return marks, secure
}

// find is the set for a name and type, or its CNAME, or what it says of all types.
func (b *book) find(name, typ string) (s *set, alias bool) {
	if s := b.sets[name+" "+typ]; s != nil {
		return s, false
	}
	if s := b.sets[name+" CNAME"]; s != nil {
		return s, true
	}
	return b.sets[name+" *"], false
}

// isSecure reports whether a name is under one that "!secure" names.
func (b *book) isSecure(name string) bool {
	return slices.ContainsFunc(b.secure, func(zone string) bool {
		return dns.IsSubDomain(zone, name)
	})
}

// misbehave does to an answer what a mark says.
func misbehave(m *dns.Msg, mark string, tcp, edns bool) {
	switch mark {
	case "!servfail":
		fail(m, dns.RcodeServerFailure)
	case "!refused":
		fail(m, dns.RcodeRefused)
	case "!formerr":
		fail(m, dns.RcodeFormatError)
	case "!notimp":
		fail(m, dns.RcodeNotImplemented)
	case "!nxdomain":
		m.Rcode, m.Ns = dns.RcodeNameError, soa()
	case "!nodata":
		m.Ns = soa()
	case "!noedns":
		if edns {
			fail(m, dns.RcodeFormatError)
			m.Extra = nil // a server that knows no EDNS sends none
		}
	case "!tc", "!tcrefused":
		if !tcp {
			m.Truncated, m.Answer = true, nil
		}
	case "!empty":
		m.RecursionAvailable = false
	}
}

// fail makes an answer a refusal.
func fail(m *dns.Msg, rcode int) {
	m.Rcode, m.Answer, m.Ns, m.AuthenticatedData = rcode, nil, nil, false
}

// pack is the bytes of an answer, cut off where UDP must.
func pack(m *dns.Msg, opt *dns.OPT, tcp, garbage bool) []byte {
	if !tcp {
		size := dns.MinMsgSize
		if opt != nil {
			size = int(opt.UDPSize())
		}
		m.Truncate(size)
	}
	if garbage {
		m.Answer, m.Ns, m.Extra = nil, nil, nil
	}
	wire, err := m.Pack()
	if err != nil {
		panic("dnstest: packing an answer: " + err.Error())
	}
	if garbage {
		wire[7] = 3 // ANCOUNT
		wire = append(wire, "\xc0\x0c\x00\x0f\x00\x01 what is this?"...)
	}
	return wire
}

// soa is the authority section of a name or type that is not there.
func soa() []dns.RR {
	return []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET, Ttl: 300},
		Ns:  "ns.invalid.", Mbox: "root.invalid.", Serial: 1, Refresh: 1800, Retry: 900, Expire: 604800, Minttl: 300,
	}}
}
