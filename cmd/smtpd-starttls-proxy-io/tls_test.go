package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"postrider/internal/smtptest"
)

// keys is the environment of a server that has mx.example's certificate.
func keys(t *testing.T) []string {
	t.Helper()
	c := smtptest.Certificate("mx.example")
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var env []string
	for name, block := range map[string]*pem.Block{"CERTFILE": {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, "KEYFILE": {Type: "PRIVATE KEY", Bytes: der}} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		env = append(env, name+"="+file)
	}
	return env
}

// TestUnderTLS is a session through ucspi-tlsd, with TLS and without.
func TestUnderTLS(t *testing.T) {
	ca, err := x509.ParseCertificate(smtptest.Authority())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for reason, secure := range map[string]bool{"TLS": true, "clear": false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		f, err := server.(*net.TCPConn).File()
		server.Close()
		if err != nil {
			t.Fatal(err)
		}
		client.SetDeadline(time.Now().Add(patience))
		s := &session{t: t, r: bufio.NewReader(client)}
		s.cmd = exec.Command(filepath.Join(bin, "ucspi-tlsd"), filepath.Join(bin, "smtpd-starttls-proxy-io"), self, "smtpd")
		s.cmd.Env = append(keys(t), "PATH=/bin:/usr/bin")
		s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr, s.cmd.WaitDelay = f, f, &s.log, patience
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		var conn net.Conn = client
		conn.Write([]byte("EHLO x\r\n"))
		s.hears("220 mx", "250-mx", "250-STARTTLS", "250 8BITMIME")
		if secure {
			conn.Write([]byte("STARTTLS\r\n"))
			s.hears("220 Ready to start TLS")
			conn = tls.Client(client, &tls.Config{ServerName: "mx.example", RootCAs: roots})
			s.r = bufio.NewReader(conn)
			conn.Write([]byte("EHLO y\r\n"))
			s.hears("250-mx", "250 8BITMIME")
		}
		conn.Write([]byte("MAIL FROM:<a>\r\nQUIT\r\n"))
		s.hears("250 ok", "221 mx", "")
		if !secure {
			client.Close()
		}
		if code, log := s.over(); code != 33 {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
		client.Close()
	}
}
