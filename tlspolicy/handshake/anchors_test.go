package handshake

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"postrider/tlspolicy"
)

// TestNameHash compares with what "openssl x509 -subject_hash" says.
func TestNameHash(t *testing.T) {
	for _, tt := range []struct{ file, hash string }{
		{"name-odd.pem", "6e08b083"}, // spaces, umlauts, an RDN of three attributes
		{"key-cert.pem", "47734b1b"},
		{"rsa.pem", "c1302ca5"},
	} {
		der := certificatesIn(readFile(t, filepath.Join("testdata", tt.file)))[0]
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if got := nameHash(c.RawSubject); got != tt.hash {
			t.Errorf("%s: %s, want %s", tt.file, got, tt.hash)
		}
		if !bytes.Equal(subjectOf(der), c.RawSubject) {
			t.Errorf("%s: another subject", tt.file)
		}
	}
	for _, same := range [][2]asn1.RawValue{
		{{Tag: asn1.TagPrintableString, Bytes: []byte("A  b ")}, {Tag: asn1.TagUTF8String, Bytes: []byte("a B")}},
		{{Tag: asn1.TagBMPString, Bytes: []byte("\x00G\x00\xfc")}, {Tag: asn1.TagUTF8String, Bytes: []byte("g\u00fc")}},
		{{Tag: asn1.TagT61String, Bytes: []byte("G\xfc")}, {Tag: asn1.TagUTF8String, Bytes: []byte("g\u00fc")}},
	} {
		if a, b := nameHash(nameOf(t, same[0])), nameHash(nameOf(t, same[1])); a != b || len(a) != 8 {
			t.Errorf("%q and %q: %s and %s", same[0].Bytes, same[1].Bytes, a, b)
		}
	}
}

// nameOf is a Name of one attribute, a common name.
func nameOf(t *testing.T, v asn1.RawValue) []byte {
	t.Helper()
	value, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	attribute := appendDER(nil, 0x30, append([]byte{6, 3, 0x55, 4, 3}, value...))
	return appendDER(nil, 0x30, appendDER(nil, 0x31, attribute))
}

// TestAnchorDirectory: files under their hash, files that are not, and what
// lies about in such directories besides.
func TestAnchorDirectory(t *testing.T) {
	root, twin, other := issue(t, nil, "root", ca), issue(t, nil, "root", ca), issue(t, nil, "other", ca)
	leaf := issue(t, root, "mx", server("mx.example.net"))
	self := issue(t, nil, "self", server("mx.example.net"))
	hash := nameHash(root.cert.RawSubject)
	block := func(id *identity) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.cert.Raw})
	}
	for _, tt := range []struct {
		why    string
		files  map[string][]byte
		server *identity
		want   tlspolicy.What
	}{
		{"hashed", map[string][]byte{hash + ".0": block(root)}, leaf, ""},
		{"second of its hash", map[string][]byte{hash + ".0": block(twin), hash + ".1": block(root)}, leaf, ""},
		{"another of its name", map[string][]byte{hash + ".0": block(twin)}, leaf, tlspolicy.PKIX},
		{"the rest is not looked at", map[string][]byte{hash + ".0": block(twin), "root.pem": block(root)}, leaf, tlspolicy.PKIX},
		{"under another's hash", map[string][]byte{hash + ".0": block(other)}, leaf, tlspolicy.PKIX},
		{"never hashed", map[string][]byte{"root.pem": block(root), "other.crt": block(other)}, leaf, ""},
		{"never hashed, not there", map[string][]byte{"other.crt": block(other)}, leaf, tlspolicy.PKIX},
		{"not of a certificate's name", map[string][]byte{"README": block(root)}, leaf, tlspolicy.PKIX},
		{"rubbish beside it", map[string][]byte{"root.pem": block(root), "bad.pem": {0xff}, "key.pem": readFile(t, "testdata/key-plain.pem")}, leaf, ""},
		{"empty", nil, leaf, tlspolicy.PKIX},
		{"the server's own", map[string][]byte{nameHash(self.cert.RawSubject) + ".0": block(self)}, self, ""},
	} {
		dir := t.TempDir()
		for name, content := range tt.files {
			writeFile(t, filepath.Join(dir, name), content)
		}
		p := tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: dir + "/", Names: []string{"mx.example.net"}}
		_, _, err := handshake(t, p, &tls.Config{Certificates: []tls.Certificate{tt.server.tls(0)}})
		if tt.want != "" {
			wantFailure(t, tt.why, err, tt.want)
		} else if err != nil {
			t.Errorf("%s: %v", tt.why, err)
		}
	}
	// Links that lead nowhere are common; a directory in a certificate's place
	// is trouble of ours.
	dir := t.TempDir()
	if err := os.Symlink("/nonexistent", filepath.Join(dir, "gone.pem")); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "root.pem"), block(root))
	p := tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: dir + "/", Names: []string{"mx.example.net"}}
	if _, _, err := handshake(t, p, &tls.Config{Certificates: []tls.Certificate{leaf.tls(0)}}); err != nil {
		t.Errorf("dangling link: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, hash+".0"), 0o700); err != nil {
		t.Fatal(err)
	}
	_, _, err := handshake(t, p, &tls.Config{Certificates: []tls.Certificate{leaf.tls(0)}})
	wantFailure(t, "unreadable anchor", err, tlspolicy.Local)
}

// TestTrustedCertificate: OpenSSL's own PEM type has more behind the certificate.
func TestTrustedCertificate(t *testing.T) {
	root := issue(t, nil, "root", ca)
	leaf := issue(t, root, "mx", server("mx.example.net"))
	file := writePEM(t, "trusted.pem", "TRUSTED CERTIFICATE", append(bytes.Clone(root.cert.Raw), 0x30, 0))
	p := tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: file, Names: []string{"mx.example.net"}}
	if _, _, err := handshake(t, p, &tls.Config{Certificates: []tls.Certificate{leaf.tls(0)}}); err != nil {
		t.Error(err)
	}
}

func FuzzNames(f *testing.F) {
	for _, file := range []string{"name-odd.pem", "rsa.pem"} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(certificatesIn(b)[0])
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		subject := subjectOf(der)
		if c, err := x509.ParseCertificate(der); err == nil && !bytes.Equal(subject, c.RawSubject) {
			t.Fatalf("subject %x, want %x", subject, c.RawSubject)
		}
		if h := nameHash(subject); h != "" && len(h) != 8 {
			t.Fatalf("hash %q", h)
		}
	})
}
