package main

import (
	"bytes"
	"crypto/tls"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/smtptest"
)

// TestUnderTLS is a session through ucspi-tlsd, with TLS, and what becomes of
// bytes that a stranger has put behind STARTTLS.
func TestUnderTLS(t *testing.T) {
	for reason, injected := range map[string]string{"honest": "", "injected": "RSET\r\nMAIL FROM:<evil>\r\n"} {
		client, f := proctest.Connection(t)
		client.SetDeadline(time.Now().Add(patience))
		w := world{control: map[string]string{"fixsmtpio": example(t)}}
		cmd := exec.Command(filepath.Join(bin, "ucspi-tlsd"), filepath.Join(bin, "fixsmtpio"), self, "kid", "DATA=354 go", ".=250 took", "NOOP=env|250 end")
		cmd.Env = append(smtptest.OnDisk(t, "mx.example"), "PATH=/bin:/usr/bin", "QMAILHOME="+w.home(t), "UCSPITLS=!")
		var log bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = f, f, &log, patience
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		f.Close()
		r := &session{Client: smtptest.NewClient(t, client)}
		client.Write([]byte("EHLO x\r\nSTARTTLS\r\n" + injected))
		r.Hears("220 me.example ESMTP", "250-me.example", "250-STARTTLS", "250-PIPELINING", "250-AUTH LOGIN", "250 8BITMIME", "220 Ready to start TLS (#5.7.0)")
		secured := tls.Client(client, smtptest.Believer("mx.example"))
		r.Client = smtptest.NewClient(t, secured)
		if err := secured.Handshake(); err != nil {
			t.Fatalf("%s: %v; %s", reason, err, log.String())
		}
		secured.Write([]byte("EHLO x\r\nNOOP\r\nMAIL FROM:<a>\r\nDATA\r\n"))
		r.Hears("250-me.example", "250-PIPELINING", "250-AUTH LOGIN", "250 8BITMIME")
		if has := r.reply(); !slices.Contains(has, "SSL_PROTOCOL=TLSv1.3") || !slices.Contains(has, "FIXSMTPIOTLS=1") {
			t.Errorf("%s: the server has %q", reason, has)
		}
		r.Hears("250 ok", "354 go")
		secured.Write([]byte("x\r\n.\r\nQUIT\r\n"))
		r.Hears("250 took", "221 me.example")
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 0 || strings.Contains(log.String(), "evil") || strings.Contains(log.String(), "RSET") {
			t.Errorf("%s: exit %d, log %q", reason, code, log.String())
		}
		client.Close()
	}
}
