package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

// OnDisk writes {cert NAME}, {key NAME} and {authority} into files of the test's.
func OnDisk(t testing.TB, name string) (cert, key, authority string) {
	t.Helper()
	dir := t.TempDir()
	put := func(file, what string) string {
		text, err := expand(what)
		if err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(dir, file)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return put("cert.pem", "{cert "+name+"}"), put("key.pem", "{key "+name+"}"), put("authority.pem", "{authority}")
}

// Believer is a client that wants name's certificate, from the test authority.
func Believer(name string) *tls.Config {
	ca, err := x509.ParseCertificate(Authority())
	if err != nil {
		panic("smtptest: our own authority does not parse: " + err.Error())
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	return &tls.Config{ServerName: name, RootCAs: roots}
}
