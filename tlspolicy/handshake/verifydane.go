package handshake

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"

	"postrider/tlspolicy"
)

// verifyDANE looks for any TLSA record that the server's certificates satisfy
// (RFC 7672 §3.1). Usage 3 is tried first: it needs no signature checked.
func (p policy) verifyDANE(sent []*x509.Certificate) error {
	for _, rr := range p.TLSA {
		// Names, dates and chains do not matter (RFC 7671 §5.1).
		if tlspolicy.Usable(rr) && rr.Usage == 3 && matches(rr, sent[0]) {
			return nil
		}
	}
	roots, any := daneRoots(p.TLSA, sent)
	if !any {
		return fail(tlspolicy.DANEMismatch, errors.New("no TLSA record matches the server's certificates"))
	}
	if _, err := verifyChain(roots, sent); err != nil {
		return fail(tlspolicy.DANEMismatch, err)
	}
	if !p.nameMatches(sent[0]) {
		return fail(tlspolicy.DANEMismatch, nameMismatch(sent[0]))
	}
	return nil
}

// matches compares a record with a certificate (RFC 6698 §2.1.2–2.1.4).
func matches(rr tlspolicy.TLSA, c *x509.Certificate) bool {
	part := c.Raw
	if rr.Selector == 1 {
		part = c.RawSubjectPublicKeyInfo
	}
	switch rr.Matching {
	case 0:
		return bytes.Equal(rr.Data, part)
	case 1:
		sum := sha256.Sum256(part)
		return bytes.Equal(rr.Data, sum[:])
	case 2:
		sum := sha512.Sum512(part)
		return bytes.Equal(rr.Data, sum[:])
	}
	return false
}

// daneRoots are the anchors that records of usage 2 amount to, given what was
// sent (RFC 7671 §5.2): sent certificates that a record matches, a whole
// certificate in a record, and sent certificates signed by a bare key in a
// record. The server's own certificate counts, too: being named under DNSSEC
// as an anchor makes it no less its own.
func daneRoots(records []tlspolicy.TLSA, sent []*x509.Certificate) (roots *x509.CertPool, any bool) {
	roots = x509.NewCertPool()
	add := func(c *x509.Certificate) {
		roots.AddCert(c)
		any = true
	}
	for _, rr := range records {
		if !tlspolicy.Usable(rr) || rr.Usage != 2 {
			continue
		}
		for _, c := range sent {
			if matches(rr, c) {
				add(c)
			}
		}
		if rr.Matching != 0 {
			continue
		}
		if rr.Selector == 0 {
			if c, err := x509.ParseCertificate(rr.Data); err == nil && keyFits(c.PublicKey) {
				add(c)
			}
			continue
		}
		for _, c := range signedByKey(rr.Data, sent) {
			add(c)
		}
	}
	return roots, any
}

// maxKeyChecks bounds the signatures checked against one bare key, and
// maxKeyBits is the largest RSA key for it, as in crypto/tls: this one comes
// from DNS, and a modulus may be as long as a record.
const (
	maxKeyChecks = 10
	maxKeyBits   = 8192
)

// signedByKey are the certificates that carry a signature of a key, DER as in
// a certificate. They stand for the anchor that has no certificate.
func signedByKey(spki []byte, sent []*x509.Certificate) (signed []*x509.Certificate) {
	key, err := x509.ParsePKIXPublicKey(spki)
	if err != nil || !keyFits(key) {
		return nil
	}
	anchor := &x509.Certificate{PublicKey: key}
	for _, c := range sent[:min(len(sent), maxKeyChecks)] {
		if anchor.CheckSignature(c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature) == nil {
			signed = append(signed, c)
		}
	}
	return signed
}

func keyFits(key any) bool {
	k, isRSA := key.(*rsa.PublicKey)
	return !isRSA || k.N.BitLen() <= maxKeyBits
}
