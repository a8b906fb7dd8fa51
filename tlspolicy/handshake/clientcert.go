package handshake

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
)

// loadKeyPair reads our own certificate, with its chain, and its key.
func loadKeyPair(certFile, keyFile, password string) (*tls.Certificate, error) {
	cert, err := os.ReadFile(certFile)
	if err != nil {
		return nil, err
	}
	key := cert
	if keyFile != "" && keyFile != certFile {
		if key, err = os.ReadFile(keyFile); err != nil {
			return nil, err
		}
	}
	if key, err = openKey(key, password); err != nil {
		return nil, fmt.Errorf("key for %s: %w", certFile, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("client certificate %s: %w", certFile, err)
	}
	return &pair, nil
}

// openKey finds the private key in a PEM file and takes its encryption off, be
// it that of PKCS #8 (RFC 5958 §3) or the older one of RFC 1421.
func openKey(file []byte, password string) ([]byte, error) {
	for {
		var b *pem.Block
		if b, file = pem.Decode(file); b == nil {
			return nil, errors.New("no private key in the file")
		}
		if b.Type != "PRIVATE KEY" && !strings.HasSuffix(b.Type, " PRIVATE KEY") {
			continue
		}
		switch {
		case b.Type == "ENCRYPTED PRIVATE KEY":
			der, err := decryptPKCS8(b.Bytes, password)
			if err != nil {
				return nil, err
			}
			b = &pem.Block{Type: "PRIVATE KEY", Bytes: der}
		//lint:ignore SA1019 keys in this form exist, and are ours: nobody chooses their bytes
		case x509.IsEncryptedPEMBlock(b):
			//lint:ignore SA1019 as above
			der, err := x509.DecryptPEMBlock(b, []byte(password))
			if err != nil {
				return nil, err
			}
			b = &pem.Block{Type: b.Type, Bytes: der}
		}
		return pem.EncodeToMemory(b), nil
	}
}
