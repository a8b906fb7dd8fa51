package tlspolicy

import "slices"

// Usable says whether a client of SMTP can do anything with a TLSA record:
// usages 0 and 1 are not for SMTP (RFC 7672 §3.1.3), unknown numbers and
// data of a wrong length are nobody's (RFC 7671 §10.1.2). A host whose records are all
// unusable must still be spoken to under TLS (RFC 7672 §2.2).
func Usable(rr TLSA) bool {
	if rr.Usage != 2 && rr.Usage != 3 || rr.Selector > 1 {
		return false
	}
	switch rr.Matching {
	case 0: // the certificate or key itself
		return isSequence(rr.Data)
	case 1:
		return len(rr.Data) == 32
	case 2:
		return len(rr.Data) == 64
	}
	return false
}

// isSequence reports whether der is one DER SEQUENCE and nothing else, as every
// certificate and every public key is.
func isSequence(der []byte) bool {
	if len(der) < 2 || der[0] != 0x30 {
		return false
	}
	n, rest := int(der[1]), der[2:]
	if n >= 0x80 {
		octets := n & 0x7f
		if octets == 0 || octets > 3 || octets > len(rest) {
			return false
		}
		n = 0
		for _, b := range rest[:octets] {
			n = n<<8 | int(b)
		}
		rest = rest[octets:]
	}
	return n > 0 && n == len(rest)
}

// underDANE is p once TLSA records have been found for d. Records that cannot
// be used leave a stricter policy alone and make a weaker one Encrypt.
func underDANE(p Policy, d Destination) Policy {
	var usable []TLSA
	for _, rr := range d.TLSA {
		if Usable(rr) {
			usable = append(usable, rr)
		}
	}
	p.PreferTLS = false
	if len(usable) == 0 {
		p.Mode = max(p.Mode, Encrypt)
		return p
	}
	p.Mode, p.TLSA = DANE, usable
	if d.TLSABase != "" {
		p.ServerName = d.TLSABase // RFC 7672 §2.2.3, RFC 6066 §3
	}
	p.Names = d.daneNames()
	p.Wildcards, p.CommonName = true, true // RFC 7672 §3.2.3
	p.Anchors, p.ChainOnly, p.Depth = "", false, 0
	return p
}

// daneNames are the reference names of usage 2 (RFC 7672 §3.2.2): the next-hop
// domain, the exchanger, and the name whose records these are.
func (d Destination) daneNames() []string {
	names := slices.Clone(d.DANENames)
	if len(names) == 0 {
		names = append(names, d.nextHop())
	}
	names = append(names, d.Host, d.TLSABase)
	out := names[:0]
	for _, n := range names {
		if n = canonicalName(n); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return out
}
