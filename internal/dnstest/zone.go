package dnstest

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
)

// Zone is all that is known: "name. TYPE" to the values of its records, in the
// order and in the notation of zone files.
//
//	Zone{"example.net. MX": {"10 mx.example.net."}, "mx.example.net. A": {"192.0.2.7"},
//		"slow.example. MX": {"!timeout"}, "!secure": {"example.net."}}
//
// Keys are in any case. The type "*" stands for every type that has no key of its
// own. A name without any key is NXDOMAIN, one without this type NODATA; CNAMEs
// are followed, at most 8 in one answer. The names under "!secure", and all below
// them, are answered with AD when it is asked for.
//
// A value that begins with '!' is a mark, alone or among records:
//
//	!timeout !drop     no answer
//	!servfail !refused !formerr !notimp !nxdomain
//	!nodata            the name exists, this type does not
//	!noedns            FORMERR to a question with EDNS0
//	!tc                cut off over UDP, whole over TCP
//	!tcrefused         cut off over UDP, the TCP connection is reset
//	!garbage           the question, and then bytes that are no records
//	!empty             no record, no SOA, neither AA nor RA: a lame server
type Zone map[string][]string

// secureKey is the key of the names that are answered with AD.
const secureKey = "!secure"

// ParseZone reads a zone of lines, "name TYPE value" or "!secure name"; empty
// lines and lines that begin with '#' or ';' say nothing. A name or value that is
// no DNS is an error with its line number.
func ParseZone(text string) (Zone, error) {
	z := Zone{}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, ok := cutLine(line)
		if !ok {
			return nil, fmt.Errorf("dnstest: line %d: not a record: %q", n, line)
		}
		if _, err := compile(Zone{key: {value}}); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		z[key] = append(z[key], value)
	}
	return z, nil
}

// cutLine takes a line apart into key and value.
func cutLine(line string) (key, value string, ok bool) {
	first, rest := cutWord(line)
	if first == secureKey {
		return first, rest, rest != ""
	}
	typ, value := cutWord(rest)
	return first + " " + typ, value, value != ""
}

// cutWord takes the first word off s; blanks around both are not theirs.
func cutWord(s string) (word, rest string) {
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		return s[:i], strings.TrimSpace(s[i:])
	}
	return s, ""
}

// set is what one key of a zone says.
type set struct {
	records []dns.RR
	marks   []string
}

// book is a zone ready to answer from; nobody writes to it any more.
type book struct {
	sets   map[string]*set // by "name. TYPE", lower-case name
	names  map[string]bool
	secure []string
}

// compile makes the records of a zone.
func compile(z Zone) (*book, error) {
	b := &book{sets: map[string]*set{}, names: map[string]bool{}}
	for key, values := range z {
		if key == secureKey {
			for _, v := range values {
				b.secure = append(b.secure, dns.CanonicalName(v))
			}
			continue
		}
		name, typ := cutWord(strings.TrimSpace(key))
		name, typ = dns.CanonicalName(name), strings.ToUpper(typ)
		if _, ok := dns.IsDomainName(name); !ok || typ != "*" && dns.StringToType[typ] == 0 {
			return nil, fmt.Errorf("dnstest: bad key %q", key)
		}
		s := &set{}
		for _, v := range values {
			if err := s.add(name, typ, v); err != nil {
				return nil, err
			}
		}
		b.names[name] = true
		b.sets[name+" "+typ] = s
	}
	return b, nil
}

// add takes in one value of a key.
func (s *set) add(name, typ, value string) error {
	if strings.HasPrefix(value, "!") {
		if !isMark(value) {
			return fmt.Errorf("dnstest: no such mark: %q", value)
		}
		s.marks = append(s.marks, value)
		return nil
	}
	rr, err := dns.NewRR(name + " 300 IN " + typ + " " + value)
	if err != nil || rr == nil {
		return fmt.Errorf("dnstest: bad value of %s %s: %q: %v", name, typ, value, err)
	}
	if _, err := dns.PackRR(rr, make([]byte, dns.MaxMsgSize), 0, nil, false); err != nil {
		return fmt.Errorf("dnstest: bad value of %s %s: %q: %v", name, typ, value, err)
	}
	s.records = append(s.records, rr)
	return nil
}

// isMark reports whether a word is one of Zone's marks.
func isMark(word string) bool {
	switch word {
	case "!timeout", "!drop", "!servfail", "!refused", "!formerr", "!notimp", "!nxdomain",
		"!nodata", "!noedns", "!tc", "!tcrefused", "!garbage", "!empty":
		return true
	}
	return false
}
