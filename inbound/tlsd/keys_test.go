package tlsd

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"strings"
	"testing"

	"postrider/inbound"
	"postrider/inbound/tlsd/options"
	"postrider/internal/smtptest"
)

// disk is files by name.
type disk map[string]string

func (d disk) read(name string) ([]byte, error) {
	text, ok := d[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

func (d disk) list(dir string) (names []string, err error) {
	for name := range d {
		if n, ok := strings.CutPrefix(name, dir+"/"); ok {
			names = append(names, n)
		}
	}
	if names == nil {
		err = fs.ErrNotExist
	}
	return names, err
}

func armour(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func certPEM(name string) string {
	text := ""
	for _, der := range smtptest.Certificate(name).Certificate {
		text += armour("CERTIFICATE", der)
	}
	return text
}

func keyPEM(t *testing.T, name string) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(smtptest.Certificate(name).PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return armour("PRIVATE KEY", der)
}

// What is wrong is named by file and, in a file, by line.
func TestWrongFiles(t *testing.T) {
	cert, key := certPEM("mx.example"), keyPEM(t, "mx.example")
	d := disk{
		"/cert": cert, "/key": key, "/both": cert + key, "/empty": "", "/text": "nothing\n", "/other": keyPEM(t, "other.example"),
		"/short": cert[:len(cert)-40], "/shortkey": "\n\n" + key[:60], "/notcert": "x\n" + armour("CERTIFICATE", []byte("x")),
		"/notkey": armour("EC PARAMETERS", []byte("x")) + armour("PRIVATE KEY", []byte("x")), "/locked": armour("ENCRYPTED PRIVATE KEY", []byte("x")),
		"/oldlock": "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----\n",
		"/unended": strings.TrimSuffix(key, "-----END PRIVATE KEY-----\n") + cert,
	}
	for env, want := range map[string]string{
		"CERTFILE=/both": "", "CERTFILE=/cert KEYFILE=/key": "", "CERTFILE=/cert KEYFILE=/both": "",
		"":                                   "CERTFILE is not set",
		"CERTFILE=/none KEYFILE=/key":        "open /none: file does not exist",
		"CERTFILE=/cert KEYFILE=/none":       "open /none: file does not exist",
		"CERTFILE=/cert":                     "/cert: holds no private key",
		"CERTFILE=/key":                      "/key: holds no certificate",
		"CERTFILE=/empty KEYFILE=/key":       "/empty: holds no certificate",
		"CERTFILE=/text KEYFILE=/key":        "/text: holds no certificate",
		"CERTFILE=/cert KEYFILE=/text":       "/text: holds no private key",
		"CERTFILE=/short KEYFILE=/key":       "/short: line ",
		"CERTFILE=/cert KEYFILE=/shortkey":   "/shortkey: line 3: this PEM block does not end",
		"CERTFILE=/unended":                  "/unended: line 1: this PEM block does not end",
		"CERTFILE=/notcert KEYFILE=/key":     "/notcert: line 2: ",
		"CERTFILE=/cert KEYFILE=/notkey":     "/notkey: line 4: this key is not understood",
		"CERTFILE=/cert KEYFILE=/locked":     "/locked: line 1: this key is encrypted",
		"CERTFILE=/cert KEYFILE=/oldlock":    "/oldlock: line 1: this key is encrypted",
		"CERTFILE=/cert KEYFILE=/other":      "/other: this key is not that of the first certificate in /cert",
		"CERTFILE=/both CERTCHAINFILE=/no":   "open /no: file does not exist",
		"CERTFILE=/both CERTCHAINFILE=/text": "/text: holds no certificate",
	} {
		k, err := LoadKeys(strings.Fields(env), 1, d.read, func(err error) { t.Errorf("%s: warned: %v", env, err) })
		if want == "" {
			if err != nil || k.common == nil || len(k.common.Certificate) != 2 {
				t.Errorf("%s: %v", env, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Kind != Files || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s", env, err, want)
		}
	}
}

// One name's broken file takes nothing from the others.
func TestWrongNames(t *testing.T) {
	d := disk{"/both": certPEM("mx.example") + keyPEM(t, "mx.example"), "/a": certPEM("a.example") + keyPEM(t, "a.example"), "/text": "nothing"}
	for _, c := range []struct {
		env         string
		level, warn int
		ok          bool
	}{
		{"CERTFILE=/both CERTFILE:a=/a CERTFILE:b=/none", 1, 1, true},
		{"CERTFILE=/both CERTFILE:b=/none", 0, 0, true},
		{"CERTFILE:a=/a CERTFILE:b=/none", 1, 1, true},
		{"CERTFILE:a=/a CERTFILE:b=/none", 2, 1, true},
		{"CERTFILE=/none CERTFILE:a=/a", 2, 0, true},
		{"CERTFILE=/none CERTFILE:a=/a", 1, 0, false}, // CERTFILE was meant, and is not there
		{"CERTFILE=/both CERTFILE:b=/none", 2, 0, false},
		{"CERTFILE=/both", 2, 0, false},
		{"CERTFILE:=/a", 1, 0, false},
	} {
		warned := 0
		_, err := LoadKeys(strings.Fields(c.env), c.level, d.read, func(error) { warned++ })
		if (err == nil) != c.ok || warned != c.warn {
			t.Errorf("%s at %d: %v, %d warnings", c.env, c.level, err, warned)
		}
	}
	// A file that turns out to be nonsense only when a client asks for its name.
	warned := 0
	k, err := LoadKeys(inbound.Env{"CERTFILE=/both", "CERTFILE:a=/text"}, 1, d.read, func(error) { warned++ })
	if err != nil || warned != 0 {
		t.Fatalf("%v, %d warnings", err, warned)
	}
	if cert, err := k.choose(&tls.ClientHelloInfo{ServerName: "a"}); err != nil || cert != k.common || warned != 1 {
		t.Errorf("%v, %d warnings", err, warned)
	}
}

func TestAnchors(t *testing.T) {
	d := disk{"/ca": smtptest.AuthorityPEM(), "/dir/a": smtptest.AuthorityPEM(), "/dir/b": "nothing", "/empty/x": "nothing"}
	ours, err := x509.ParseCertificate(smtptest.Certificate("client.example").Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env         string
		ask         options.Ask
		loads, good bool
	}{
		{"", options.Nothing, true, false}, {"CAFILE=/none", options.Nothing, true, false},
		{"", options.Optional, true, false}, {"", options.Demanded, false, false},
		{"CAFILE=/ca", options.Optional, true, true}, {"CAFILE=/ca", options.Demanded, true, true}, {"CAFILE=/none", options.Optional, false, false},
		{"CADIR=/dir", options.Demanded, true, true}, {"CADIR=/dir/", options.Demanded, true, true}, {"CADIR=/none CAFILE=/ca", options.Demanded, false, false},
		{"CADIR=/empty CAFILE=/ca", options.Demanded, true, false},
	} {
		cl, err := LoadClients(strings.Fields(c.env), c.ask, d.read, d.list)
		if (err == nil) != c.loads {
			t.Errorf("%s: %v", c.env, err)
		}
		if err == nil && (cl.verify([]*x509.Certificate{ours}) == nil) != c.good {
			t.Errorf("%s: the certificate is taken for %v", c.env, !c.good)
		}
	}
}
