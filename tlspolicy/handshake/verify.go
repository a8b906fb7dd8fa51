package handshake

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"net/netip"
	"strings"

	"postrider/internal/ascii"
	"postrider/tlspolicy"
)

// verifyPKIX verifies the chain against the anchors, then the name.
func (p policy) verifyPKIX(a *anchors, sent []*x509.Certificate) error {
	roots, err := a.pool(sent)
	if err != nil {
		return fail(tlspolicy.Local, err)
	}
	chains, err := verifyChain(roots, sent)
	if err != nil {
		return fail(tlspolicy.PKIX, err)
	}
	if p.Depth > 0 && !withinDepth(chains, p.Depth) {
		return fail(tlspolicy.PKIX, errors.New("the certificate chain is longer than the depth allowed"))
	}
	if !p.ChainOnly && !p.nameMatches(sent[0]) {
		return fail(tlspolicy.PKIX, nameMismatch(sent[0]))
	}
	return nil
}

// verifyChain builds chains from the server's own certificate through the
// others that it sent to any of roots, all of them valid today.
func verifyChain(roots *x509.CertPool, sent []*x509.Certificate) ([][]*x509.Certificate, error) {
	intermediates := x509.NewCertPool()
	for _, c := range sent[1:] {
		intermediates.AddCert(c)
	}
	return sent[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates})
}

// withinDepth counts as OpenSSL does since 1.1.0: the certificates between the
// server's own and the anchor.
func withinDepth(chains [][]*x509.Certificate, depth int) bool {
	for _, chain := range chains {
		if len(chain)-2 <= depth {
			return true
		}
	}
	return false
}

// nameMatches compares a certificate with the reference names (RFC 6125 §6.4).
// The common name counts only where it is allowed to, and only when there is
// no dNSName.
func (p policy) nameMatches(leaf *x509.Certificate) bool {
	for _, ref := range p.Names {
		if addr, err := netip.ParseAddr(ref); err == nil {
			if hasAddress(leaf, addr) {
				return true
			}
			continue
		}
		for _, presented := range leaf.DNSNames {
			if matchName(presented, ref, p.Wildcards) {
				return true
			}
		}
		if p.CommonName && len(leaf.DNSNames) == 0 && matchName(leaf.Subject.CommonName, ref, p.Wildcards) {
			return true
		}
	}
	return false
}

func hasAddress(leaf *x509.Certificate, want netip.Addr) bool {
	for _, ip := range leaf.IPAddresses {
		if a, ok := netip.AddrFromSlice(ip); ok && a.Unmap() == want.Unmap() {
			return true
		}
	}
	return false
}

// matchName compares a name in a certificate with one that we know. A wildcard
// is a whole first label, stands for one label, and is not all but the last
// (RFC 6125 §6.4.3).
func matchName(presented, reference string, wildcards bool) bool {
	presented, reference = strings.TrimSuffix(presented, "."), strings.TrimSuffix(reference, ".")
	if presented == "" || reference == "" {
		return false
	}
	if ascii.EqualFold(presented, reference) {
		return true
	}
	parent, isWildcard := strings.CutPrefix(presented, "*.")
	if !isWildcard || !wildcards || !strings.Contains(parent, ".") {
		return false
	}
	label, rest, _ := strings.Cut(reference, ".")
	return label != "" && ascii.EqualFold(parent, rest)
}

// nameMismatch says which names a certificate has instead, the first few.
func nameMismatch(leaf *x509.Certificate) error {
	names := leaf.DNSNames
	if len(names) == 0 && leaf.Subject.CommonName != "" {
		names = []string{leaf.Subject.CommonName}
	}
	if len(names) > 3 {
		names = append(names[:3:3], "…")
	}
	return errors.New("the certificate is for another name: " + strings.Join(names, ", "))
}

// verifyDigest compares the server's certificate with a fingerprint, whose
// length says what made it.
func verifyDigest(digest []byte, leaf *x509.Certificate) error {
	var sum []byte
	switch len(digest) {
	case sha1.Size:
		s := sha1.Sum(leaf.Raw)
		sum = s[:]
	case sha256.Size224:
		s := sha256.Sum224(leaf.Raw)
		sum = s[:]
	case sha256.Size:
		s := sha256.Sum256(leaf.Raw)
		sum = s[:]
	case sha512.Size:
		s := sha512.Sum512(leaf.Raw)
		sum = s[:]
	default:
		return fail(tlspolicy.Local, errors.New("a fingerprint of no known length"))
	}
	if !bytes.Equal(sum, digest) {
		return fail(tlspolicy.Pinned, errors.New("the certificate has another fingerprint"))
	}
	return nil
}
