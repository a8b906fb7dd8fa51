// Demo delivers one message through the real qmail-remote, to see it work:
// over TLS that DANE verifies, on loopback, without root, without touching an
// installed qmail.
//
//	demo -bin bin
//
// It starts a DNS server and an SMTP server with STARTTLS on ports that the
// kernel chooses, makes a qmail home in a temporary directory, runs the program
// as qmail-rspawn would, and shows the report, the conversation and the message
// that arrived. It exits 1 unless the message came through verified.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postrider/internal/dnstest"
	"postrider/internal/sink"
)

const (
	domain    = "wonderland.example"
	exchanger = "mx." + domain
	sender    = "alice@postrider.example"
	recipient = "rabbit@" + domain
	message   = "From: Alice <" + sender + ">\nTo: White Rabbit <" + recipient + ">\nSubject: late?\n\n" +
		"Who stuffed this dot?\n. You did, and took it out again.\n"
)

func main() {
	bin := flag.String("bin", "bin", "directory of the built programs")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: demo [-bin DIR]\nDelivers one message through DIR/qmail-remote to a server on loopback, under TLS verified by DANE.")
		flag.PrintDefaults()
	}
	flag.Parse()
	if err := run(*bin); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(bin string) error {
	home, err := os.MkdirTemp("", "postrider-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	cert, pemCert, digest, err := certificate()
	if err != nil {
		return err
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	port := l.Addr().(*net.TCPAddr).Port
	var said transcript
	mx := sink.Serve(l, sink.Config{Name: exchanger, TLS: &tls.Config{Certificates: []tls.Certificate{cert}}, Keep: true, Transcript: said.line})
	defer mx.Close()

	zone, err := dnstest.ParseZone(fmt.Sprintf("!secure %s.\n%s. A 127.0.0.1\n_%d._tcp.%s. TLSA 3 1 1 %s\n", domain, exchanger, port, exchanger, digest))
	if err != nil {
		return err
	}
	dns, err := dnstest.Serve("127.0.0.1:0", zone, dnstest.Options{})
	if err != nil {
		return err
	}
	defer dns.Close()

	route := fmt.Sprintf("%s:%s:%d\n", domain, exchanger, port)
	if err := makeHome(home, route, pemCert); err != nil {
		return err
	}
	report, err := deliver(bin, home, dns.Addr().String())
	if err != nil {
		return err
	}
	show(report, said.text(), dns.Questions(), mx.Messages())
	return verdict(report, mx.Messages())
}

// makeHome writes the control files: who we are, the route to the server (its
// port is not 25), and trust anchors, without which there is no TLS. DANE never
// reads the anchors.
func makeHome(home, route string, anchor []byte) error {
	control := filepath.Join(home, "control")
	if err := os.MkdirAll(control, 0o755); err != nil {
		return err
	}
	anchors := filepath.Join(home, "anchors.pem")
	return errors.Join(
		os.WriteFile(filepath.Join(control, "me"), []byte("postrider.example\n"), 0o644),
		os.WriteFile(filepath.Join(control, "smtproutes"), []byte(route), 0o644),
		os.WriteFile(filepath.Join(control, "trustanchors"), []byte(anchors+"\n"), 0o644),
		os.WriteFile(anchors, anchor, 0o644),
	)
}

// deliver runs qmail-remote as qmail-rspawn does: the message on descriptor 0,
// the report on descriptor 1.
func deliver(bin, home, dns string) ([]byte, error) {
	path := filepath.Join(home, "message")
	if err := os.WriteFile(path, []byte(message), 0o644); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := exec.Command(filepath.Join(bin, "qmail-remote"), domain, sender, recipient)
	cmd.Stdin = f
	cmd.Env = append(os.Environ(), "QMAILHOME="+home, "DNSCACHEIP="+dns)
	fmt.Printf("$ QMAILHOME=… DNSCACHEIP=%s %s %s %s %s < message\n\n", dns, cmd.Path, domain, sender, recipient)
	return cmd.Output()
}

func show(report []byte, conversation string, questions []string, taken []sink.Message) {
	fmt.Println("== what was asked of DNS ==")
	for _, q := range questions {
		fmt.Println(q)
	}
	fmt.Println("\n== the conversation, as the server saw it ==")
	fmt.Print(conversation)
	fmt.Println("\n== the message that arrived ==")
	for _, m := range taken {
		fmt.Printf("(from <%s> for %s, under %s)\n%s", m.From, strings.Join(m.To, ", "), m.TLS, strings.ReplaceAll(string(m.Body), "\r\n", "\n"))
	}
	fmt.Println("\n== the report to qmail-rspawn ==")
	fmt.Println(strings.ReplaceAll(strings.TrimSuffix(string(report), "\x00"), "\x00", "\\0\n") + "\\0")
}

func verdict(report []byte, taken []sink.Message) error {
	switch {
	case !bytes.HasPrefix(report, []byte("r\x00K")):
		return errors.New("the message was not accepted")
	case !bytes.Contains(report, []byte("verified=dane")):
		return errors.New("the message went, but DANE did not verify the server")
	case len(taken) != 1 || string(taken[0].Body) != strings.ReplaceAll(message, "\n", "\r\n"):
		return errors.New("what arrived is not what was sent")
	}
	return nil
}

// certificate makes a self-signed one, and the digest of its key for TLSA 3 1 1.
func certificate() (tls.Certificate, []byte, string, error) {
	var none tls.Certificate
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return none, nil, "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: exchanger}, DNSNames: []string{exchanger},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return none, nil, "", err
	}
	spki, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		return none, nil, "", err
	}
	sum := sha256.Sum256(spki)
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, block, hex.EncodeToString(sum[:]), nil
}

// transcript collects lines from the server's goroutine.
type transcript struct {
	mu sync.Mutex
	b  strings.Builder // guarded by mu
}

func (t *transcript) line(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.WriteString(s + "\n")
}

func (t *transcript) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
