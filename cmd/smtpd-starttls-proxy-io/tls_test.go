package main

import (
	"crypto/tls"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/smtptest"
)

// TestUnderTLS is a session through ucspi-tlsd, with TLS and without.
func TestUnderTLS(t *testing.T) {
	for reason, secure := range map[string]bool{"TLS": true, "clear": false} {
		client, f := proctest.Connection(t)
		client.SetDeadline(time.Now().Add(patience))
		s := &session{Client: smtptest.NewClient(t, client)}
		s.cmd = exec.Command(filepath.Join(bin, "ucspi-tlsd"), filepath.Join(bin, "smtpd-starttls-proxy-io"), self, "smtpd")
		s.cmd.Env = append(smtptest.OnDisk(t, "mx.example"), "PATH=/bin:/usr/bin")
		s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr, s.cmd.WaitDelay = f, f, &s.log, patience
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		var conn net.Conn = client
		conn.Write([]byte("EHLO x\r\n"))
		s.Hears("220 mx", "250-mx", "250-STARTTLS", "250 8BITMIME")
		if secure {
			conn.Write([]byte("STARTTLS\r\n"))
			s.Hears("220 Ready to start TLS")
			conn = tls.Client(client, smtptest.Believer("mx.example"))
			s.Client = smtptest.NewClient(t, conn)
			conn.Write([]byte("EHLO y\r\n"))
			s.Hears("250-mx", "250 8BITMIME")
		}
		conn.Write([]byte("MAIL FROM:<a>\r\nQUIT\r\n"))
		s.Hears("250 ok", "221 mx", "")
		if !secure {
			client.Close()
		}
		if code, log := s.over(); code != 33 {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
		client.Close()
	}
}
