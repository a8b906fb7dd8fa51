package handshake

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// anchors are the trust anchors of a file or a directory, of which only those
// are ever parsed that a server's certificates name. Parsing all that a system
// trusts takes longer than the rest of a handshake.
type anchors struct {
	dir   string   // a hashed directory, with its final slash; or
	certs [][]byte // certificates, DER
}

// loadAnchors opens anchors: a path that ends in "/" is a directory.
func loadAnchors(path string) (*anchors, error) {
	if path == "" {
		return nil, errors.New("no trust anchors")
	}
	if strings.HasSuffix(path, "/") {
		info, err := os.Stat(path)
		if err == nil && !info.IsDir() {
			err = errors.New(path + " is not a directory")
		}
		return &anchors{dir: path}, err
	}
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	certs := certificatesIn(file)
	if len(certs) == 0 {
		return nil, errors.New(path + " holds no certificate")
	}
	return &anchors{certs: certs}, nil
}

// certificatesIn are the certificates of a PEM file, whose other contents do
// not matter.
func certificatesIn(file []byte) (certs [][]byte) {
	for {
		var b *pem.Block
		if b, file = pem.Decode(file); b == nil {
			return certs
		}
		if b.Type == "CERTIFICATE" || b.Type == "TRUSTED CERTIFICATE" || b.Type == "X509 CERTIFICATE" {
			certs = append(certs, b.Bytes)
		}
	}
}

// pool is those anchors that sent certificates are, or name as their issuers.
func (a *anchors) pool(sent []*x509.Certificate) (*x509.CertPool, error) {
	names := namesIn(sent)
	certs := a.certs
	if a.dir != "" {
		var err error
		if certs, err = a.inDirectory(names); err != nil {
			return nil, err
		}
	}
	pool := x509.NewCertPool()
	for _, der := range certs {
		if !contains(names, subjectOf(der)) {
			continue
		}
		if c, err := parseAnchor(der); err == nil {
			pool.AddCert(c)
		}
	}
	return pool, nil
}

// parseAnchor parses a certificate, and leaves alone what follows it in
// OpenSSL's TRUSTED CERTIFICATE.
func parseAnchor(der []byte) (*x509.Certificate, error) {
	var first asn1.RawValue
	if _, err := asn1.Unmarshal(der, &first); err != nil {
		return nil, err
	}
	return x509.ParseCertificate(first.FullBytes)
}

// namesIn are the issuers and subjects of certificates, DER, each once.
func namesIn(sent []*x509.Certificate) (names [][]byte) {
	for _, c := range sent {
		for _, n := range [][]byte{c.RawIssuer, c.RawSubject} {
			if !contains(names, n) {
				names = append(names, n)
			}
		}
	}
	return names
}

func contains(names [][]byte, name []byte) bool {
	for _, n := range names {
		if bytes.Equal(n, name) {
			return true
		}
	}
	return false
}

// subjectOf finds the subject in a certificate (RFC 5280 §4.1) without parsing
// the rest; nil if it is none.
func subjectOf(der []byte) []byte {
	var cert, tbs, field asn1.RawValue
	if _, err := asn1.Unmarshal(der, &cert); err != nil {
		return nil
	}
	if _, err := asn1.Unmarshal(cert.Bytes, &tbs); err != nil {
		return nil
	}
	rest := tbs.Bytes
	// serialNumber, signature, issuer, validity, subject
	for left := 5; left > 0; {
		var err error
		if rest, err = asn1.Unmarshal(rest, &field); err != nil {
			return nil
		}
		if field.Class == asn1.ClassUniversal { // the version, which may come first, is not
			left--
		}
	}
	return field.FullBytes
}

// maxSameHash bounds the certificates that share a hash in a directory.
const maxSameHash = 16

// inDirectory reads the files that "openssl rehash" has named after names. Only
// if there is none, all files are read: then the directory may never have been
// hashed. Compat(skarnet).
func (a *anchors) inDirectory(names [][]byte) (certs [][]byte, err error) {
	for _, name := range names {
		hash := nameHash(name)
		if hash == "" {
			continue
		}
		for i := range maxSameHash {
			file, err := os.ReadFile(a.dir + hash + "." + strconv.Itoa(i))
			if errors.Is(err, fs.ErrNotExist) {
				break
			}
			if err != nil {
				return nil, err
			}
			certs = append(certs, certificatesIn(file)...)
		}
	}
	if len(certs) > 0 {
		return certs, nil
	}
	return a.wholeDirectory()
}

// wholeDirectory reads every file of the directory that looks like one of a
// certificate. What cannot be read is left out: somebody else's key, or a link
// to a certificate that is gone, is no reason to believe nobody.
func (a *anchors) wholeDirectory() (certs [][]byte, err error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !isCertificateName(e.Name()) {
			continue
		}
		if file, err := os.ReadFile(a.dir + e.Name()); err == nil {
			certs = append(certs, certificatesIn(file)...)
		}
	}
	return certs, nil
}

func isCertificateName(name string) bool {
	for _, end := range [...]string{".pem", ".crt", ".cer", ".0"} {
		if strings.HasSuffix(name, end) {
			return true
		}
	}
	return false
}
