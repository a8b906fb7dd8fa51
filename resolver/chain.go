package resolver

import (
	"context"
	"strings"
)

// maxLinks is the most CNAMEs that are followed in one look-up; a loop ends there.
const maxLinks = 16

// answer is the records of one type at the end of a CNAME chain, never empty.
type answer struct {
	*reply           // the last one; its secure is of the whole chain
	canonical string // the end of the chain
}

// untold is the TTL of what no record vouches for.
const untold = -1

// ask follows name to records of a type. Errors are *Error. The second result is
// for how many seconds the answer, or the failure, holds: the lowest TTL on the
// way, and of the SOA that denies (RFC 2308 §5), or untold. Every look-up comes
// through here, and nothing below it remembers anything; Cache does, above.
func (r *Resolver) ask(ctx context.Context, name string, typ uint16) (answer, int64, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	fail := func(k Kind, err error) (answer, int64, error) {
		return answer{}, untold, &Error{Kind: k, Name: name, Type: typeName(typ), Err: err}
	}
	at, ok := askable(name)
	if !ok {
		return fail(NotFound, errName)
	}
	secure, ttl := true, uint32(maxTTL)
	for links := 0; ; {
		m, err := r.exchange(ctx, newQuestion(at, typ))
		if err != nil {
			return fail(Temporary, err)
		}
		secure = secure && m.secure
		asked := at
		if at, links, err = m.follow(asked, links); err != nil {
			return fail(Temporary, err)
		}
		kind, err := m.end(asked, at)
		ttl = min(ttl, m.ttl)
		switch {
		case err != nil:
			return fail(Temporary, err)
		case kind != 0:
			e := &Error{Kind: kind, Name: name, Type: typeName(typ), Secure: secure}
			return answer{}, m.denial(at, ttl), e
		case len(m.records) > 0:
			m.secure = secure
			return answer{m, at}, int64(ttl), nil
		}
	}
}

// follow walks the CNAMEs of an answer from a name, whatever their order, to the
// name where they end, and counts them. A question for CNAMEs follows none.
func (m *reply) follow(at string, links int) (string, int, error) {
	for i := 0; i < len(m.records); i++ {
		r := m.records[i]
		if r.typ != typeCNAME || m.asked == typeCNAME || r.owner != at {
			continue
		}
		to, ok := m.name(r.at, r.end)
		if !ok {
			return "", links, errGarbled
		}
		if to, ok = askable(to); !ok {
			return "", links, errName
		}
		if links++; links > maxLinks {
			return "", links, errChain
		}
		m.ttl = min(m.ttl, r.ttl)
		at, i = to, -1
	}
	return at, links, nil
}

// end says what an answer to asked amounts to whose chain ends at a name: the
// kind of its failure; or zero, and records is what was found there, empty when
// another question must be asked. A bounce hangs on NotFound and NoData, so an
// answer that says anything besides is an error.
func (m *reply) end(asked, at string) (Kind, error) {
	found, strange := m.records[:0], false
	for _, r := range m.records {
		switch {
		case r.typ == m.asked && r.owner == at:
			found = append(found, r)
			m.ttl = min(m.ttl, r.ttl)
		case r.typ == m.asked || asked == at: // not ours, nor a link of ours
			strange = true
		}
	}
	m.records = found
	switch {
	case m.rcode == rcodeNXDomain && len(found) > 0:
		return 0, errNonsense
	case m.rcode == rcodeNXDomain: // of the end of the chain: RFC 6604 §2
		return NotFound, nil
	case len(found) > 0:
		return 0, nil
	case asked != at && !(m.hasSOA && within(at, m.soa)):
		return 0, nil // the server left the rest of the chain to us
	case strange:
		return 0, errNonsense
	}
	return NoData, nil // RFC 2308 §2.2
}

// denial is for how many seconds at is denied behind a chain of a TTL. Only the
// SOA of a zone that at is in can say so (RFC 2308 §5).
func (m *reply) denial(at string, ttl uint32) int64 {
	if !m.hasSOA || !within(at, m.soa) {
		return untold
	}
	return int64(min(ttl, m.soaTTL))
}

// within reports whether name is zone or below it; the root is "".
func within(name, zone string) bool {
	return zone == "" || name == zone || strings.HasSuffix(name, zone) &&
		name[len(name)-len(zone)-1] == '.'
}

// typeName is the mnemonic of a type that this package asks for.
func typeName(typ uint16) string {
	switch typ {
	case typeMX:
		return "MX"
	case typeA:
		return "A"
	case typeAAAA:
		return "AAAA"
	case typeTLSA:
		return "TLSA"
	}
	return "CNAME"
}
