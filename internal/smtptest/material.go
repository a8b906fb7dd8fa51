package smtptest

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	_ "crypto/sha1" // fingerprints come in SHA-1 too
	"crypto/sha256"
	_ "crypto/sha512" // and in SHA-512
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"time"
)

// Test material is the same in every run: Ed25519 keys come from a name, and
// their signatures have no chance in them. So a file may hold a digest.

func keyOf(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("smtptest " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func template(name string) *x509.Certificate {
	sum := sha256.Sum256([]byte("serial " + name))
	return &x509.Certificate{
		SerialNumber:          new(big.Int).SetBytes(sum[:8]),
		Subject:               pkix.Name{CommonName: name},
		NotBefore:             time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:              time.Date(2120, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
}

const authorityName = "Postrider test authority"

// Authority is the certificate that signs all others, in DER.
func Authority() []byte {
	t := template(authorityName)
	t.IsCA = true
	t.KeyUsage = x509.KeyUsageCertSign
	t.ExtKeyUsage = nil
	return sign(t, t, keyOf(authorityName).Public(), keyOf(authorityName))
}

// AuthorityPEM is Authority as a file of trust anchors.
func AuthorityPEM() string { return string(encodePEM("CERTIFICATE", Authority())) }

// Certificate is the chain and key of name: see {cert NAME} in the package comment.
func Certificate(name string) tls.Certificate {
	kind, host, ok := strings.Cut(name, ":")
	if !ok {
		kind, host = "", name
	}
	t := template(host)
	if kind != "cn" {
		t.DNSNames = []string{host}
	}
	if kind == "expired" {
		t.NotAfter = time.Date(1995, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	key := keyOf(name)
	if kind == "self" {
		return tls.Certificate{Certificate: [][]byte{sign(t, t, key.Public(), key)}, PrivateKey: key}
	}
	ca, err := x509.ParseCertificate(Authority())
	if err != nil {
		panic("smtptest: our own authority does not parse: " + err.Error())
	}
	leaf := sign(t, ca, key.Public(), keyOf(authorityName))
	return tls.Certificate{Certificate: [][]byte{leaf, ca.Raw}, PrivateKey: key}
}

func sign(t, parent *x509.Certificate, pub crypto.PublicKey, by ed25519.PrivateKey) []byte {
	der, err := x509.CreateCertificate(rand.Reader, t, parent, pub, by)
	if err != nil {
		panic("smtptest: our own certificate is not signed: " + err.Error())
	}
	return der
}

// expand replaces {authority}, {cert …}, {key …}, {tlsa …} and {digest …};
// {home} stays, for Install.
func expand(text string) (string, error) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "{")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		inside, after, ok := strings.Cut(rest, "}")
		if !ok {
			return "", fmt.Errorf("{ without }")
		}
		s, err := material(strings.Fields(inside))
		if err != nil {
			return "", err
		}
		b.WriteString(s)
		text = after
	}
}

func material(f []string) (string, error) {
	switch {
	case len(f) == 1 && f[0] == "home":
		return "{home}", nil
	case len(f) == 1 && f[0] == "authority":
		return AuthorityPEM(), nil
	case len(f) == 2 && f[0] == "cert":
		var b bytes.Buffer
		for _, der := range Certificate(f[1]).Certificate {
			b.Write(encodePEM("CERTIFICATE", der))
		}
		return b.String(), nil
	case len(f) == 2 && f[0] == "key":
		der, err := x509.MarshalPKCS8PrivateKey(keyOf(f[1]))
		return string(encodePEM("PRIVATE KEY", der)), err
	case len(f) == 3 && f[0] == "digest":
		return digest(f[1], Certificate(f[2]).Certificate[0])
	case len(f) == 5 && f[0] == "tlsa":
		return tlsa(f[1:4], f[4])
	}
	return "", fmt.Errorf("no such material: {%s}", strings.Join(f, " "))
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func digest(hash string, data []byte) (string, error) {
	h, ok := map[string]crypto.Hash{"sha1": crypto.SHA1, "sha224": crypto.SHA224, "sha256": crypto.SHA256, "sha512": crypto.SHA512}[hash]
	if !ok {
		return "", fmt.Errorf("no such hash: %s", hash)
	}
	w := h.New()
	w.Write(data)
	return hex.EncodeToString(w.Sum(nil)), nil
}

// tlsa is "usage selector matching hex" (RFC 6698 §2.1) for a certificate; the
// name "authority" is the authority's.
func tlsa(usm []string, name string) (string, error) {
	der := Authority()
	if name != "authority" {
		der = Certificate(name).Certificate[0]
	}
	if usm[1] == "1" {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return "", err
		}
		der = c.RawSubjectPublicKeyInfo
	}
	data, err := hex.EncodeToString(der), error(nil)
	switch usm[2] {
	case "1":
		data, err = digest("sha256", der)
	case "2":
		data, err = digest("sha512", der)
	}
	return strings.Join(usm, " ") + " " + data, err
}
