package handshake

import (
	"crypto/tls"
	"testing"

	"postrider/tlspolicy"
)

// TestSuiteNames: both names of every suite that we may offer are known.
func TestSuiteNames(t *testing.T) {
	for _, id := range suites("") {
		name := tls.CipherSuiteName(id)
		if suite(name) != id {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range []string{"RC4-SHA", "TLS_RSA_WITH_RC4_128_SHA", "DES-CBC3-SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_AES_128_GCM_SHA256", "", "ALL"} {
		if suite(name) != 0 {
			t.Errorf("%q is known", name)
		}
	}
}

// TestRSAKeyExchange: a server that knows nothing better is still encrypted to.
func TestRSAKeyExchange(t *testing.T) {
	// RSA keys take long to make; this one was made for this test.
	pair, err := tls.LoadX509KeyPair("testdata/rsa.pem", "testdata/rsa.pem")
	if err != nil {
		t.Fatal(err)
	}
	_, info, err := handshake(t, tlspolicy.Policy{Mode: tlspolicy.Opportunistic}, &tls.Config{Certificates: []tls.Certificate{pair}, MaxVersion: tls.VersionTLS12,
		CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_256_CBC_SHA}})
	if err != nil || info.Cipher != "TLS_RSA_WITH_AES_256_CBC_SHA" {
		t.Errorf("%+v, %v", info, err)
	}
}
