package main

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"testing"
)

func keyBlock(t *testing.T, key crypto.PrivateKey) *pem.Block {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return &pem.Block{Type: "PRIVATE KEY", Bytes: der}
}
