package tlsd

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strconv"
	"strings"
)

// file is a file as it was read.
type file struct {
	name string
	text []byte
}

// at is an error at the line of f where rest begins.
func (f file) at(rest []byte, what string) error {
	line := 1 + bytes.Count(f.text[:len(f.text)-len(rest)], []byte{'\n'})
	return errors.New(f.name + ": line " + strconv.Itoa(line) + ": " + what)
}

func (f file) wrong(what string) error { return errors.New(f.name + ": " + what) }

// block is one PEM block and where it began.
type block struct {
	*pem.Block
	from []byte
}

// blocks are the PEM blocks of a file. What looks like the beginning of one and
// is none is an error: a key that was cut short must not look like no key.
func (f file) blocks() ([]block, error) {
	var list []block
	begin := []byte("-----BEGIN ")
	for rest := f.text; ; {
		i := bytes.Index(rest, begin)
		if i < 0 {
			return list, nil
		}
		from := rest[i:]
		end := bytes.Index(from[len(begin):], begin) // where the next begins
		one := from
		if end >= 0 {
			one = from[:len(begin)+end]
		}
		b, _ := pem.Decode(one)
		if b == nil {
			return nil, f.at(from, "this PEM block does not end, or is damaged")
		}
		list = append(list, block{b, from})
		rest = from[len(one):]
	}
}

// certificates are the certificates of a file, PEM or one in DER.
func (f file) certificates() ([][]byte, error) {
	list, err := f.blocks()
	if err != nil {
		return nil, err
	}
	var certs [][]byte
	for _, b := range list {
		if b.Type != "CERTIFICATE" && b.Type != "X509 CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(b.Bytes); err != nil {
			return nil, f.at(b.from, err.Error())
		}
		certs = append(certs, b.Bytes)
	}
	if len(list) == 0 {
		if _, err := x509.ParseCertificate(f.text); err == nil {
			return [][]byte{f.text}, nil
		}
	}
	if len(certs) == 0 {
		return nil, f.wrong("holds no certificate")
	}
	return certs, nil
}

// key is the first private key of a file, PEM or DER.
func (f file) key() (crypto.Signer, error) {
	list, err := f.blocks()
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		if b.Type != "PRIVATE KEY" && !strings.HasSuffix(b.Type, " PRIVATE KEY") {
			continue
		}
		if b.Type == "ENCRYPTED PRIVATE KEY" || b.Headers["DEK-Info"] != "" {
			return nil, f.at(b.from, "this key is encrypted, and there is nobody to ask for the password")
		}
		key := parseKey(b.Bytes)
		if key == nil {
			return nil, f.at(b.from, "this key is not understood")
		}
		return key, nil
	}
	if len(list) == 0 {
		if key := parseKey(f.text); key != nil {
			return key, nil
		}
	}
	return nil, f.wrong("holds no private key")
}

// parseKey reads a key in DER, of PKCS #8, PKCS #1 or SEC 1; nil if it is none.
func parseKey(der []byte) crypto.Signer {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch key := key.(type) {
		case *rsa.PrivateKey:
			return key
		case *ecdsa.PrivateKey:
			return key
		case ed25519.PrivateKey:
			return key
		}
		return nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return key
	}
	if key, err := x509.ParseECPrivateKey(der); err == nil {
		return key
	}
	return nil
}
