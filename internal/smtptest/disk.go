package smtptest

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

// OnDisk writes {cert NAME} and {key NAME} into files of the test's, and gives
// the environment in which a UCSPI-TLS server finds them.
func OnDisk(t testing.TB, name string) []string {
	t.Helper()
	dir := t.TempDir()
	var env []string
	for variable, what := range map[string]string{"CERTFILE": "cert", "KEYFILE": "key"} {
		text, err := expand("{" + what + " " + name + "}")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, what+".pem")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, variable+"="+file)
	}
	return env
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
