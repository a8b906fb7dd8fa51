package main

import (
	"crypto/tls"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/queuetest"
	"postrider/internal/smtptest"
)

// served is a client of qmail-ofmipd under ucspi-tlsd; over waits for the exit code.
func served(t *testing.T, home queuetest.Home, env ...string) (client net.Conn, over func() int) {
	t.Helper()
	conn, f := proctest.Connection(t)
	conn.SetDeadline(time.Now().Add(time.Minute))
	cmd := command(t, home, []string{"ucspi-tlsd", filepath.Join(bin, "qmail-ofmipd")}, append(env, smtptest.OnDisk(t, "mx.example")...)...)
	cmd.Stdin, cmd.Stdout = f, f
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	f.Close()
	return conn, func() int {
		cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}
}

// S4, S5: under ucspi-tlsd, with no qmail-authup before it. What was said in
// clear, and what a stranger has put behind STARTTLS, is forgotten; TLS is not
// offered again.
func TestSTARTTLS(t *testing.T) {
	for level, inClear := range map[string]string{"": "250 ok", "!": "530 Must start TLS first (#5.7.0)"} {
		home := queuetest.New(t)
		client, over := served(t, home, "UCSPITLS="+level, "TCPREMOTEIP=1.2.3.4", "TCPREMOTEINFO=we@ird")
		c := smtptest.NewClient(t, client)
		io.WriteString(client, "EHLO x\r\nMAIL FROM:<evil>\r\nRCPT TO:<evil>\r\nSTARTTLS x\r\n")
		c.Hears("220 me.example ESMTP", "250-me.example", "250-STARTTLS", "250-PIPELINING", "250 8BITMIME", inClear, inClear,
			"501 Syntax error (no parameters allowed) (#5.5.4)")
		io.WriteString(client, "STARTTLS\r\nRCPT TO:<injected>\r\nDATA\r\n")
		c.Hears("220 Ready to start TLS (#5.7.0)")
		secure := tls.Client(client, smtptest.Believer("mx.example"))
		if err := secure.Handshake(); err != nil {
			t.Fatal(err)
		}
		io.WriteString(secure, "DATA\r\nEHLO x\r\nSTARTTLS\r\n"+mail+"QUIT\r\n")
		out, err := io.ReadAll(secure)
		want := "503 MAIL first (#5.5.1)\r\n250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n502 unimplemented (#5.5.1)\r\n" + sent + bye
		if string(out) != want || err != nil {
			t.Errorf("UCSPITLS=%s: %q, %v, want %q", level, out, err, want)
		}
		if code := over(); code != 0 {
			t.Errorf("UCSPITLS=%s: exit %d", level, code)
		}
		m := home.Only(t)
		if m.Envelope != envelope || !strings.HasSuffix(m.Content, "\nX: y\n\nbody line\n.dot\n") {
			t.Errorf("UCSPITLS=%s: %+v", level, m)
		}
		if !strings.Contains("\n"+m.Env, "\nSSL_PROTOCOL=TLSv1.3\n") || strings.Contains("\n"+m.Env, "\nUCSPITLS=") {
			t.Errorf("UCSPITLS=%s: the queue program gets %q", level, m.Env)
		}
	}
}

// S29: TLS that does not begin is the end, and nothing is taken in clear.
func TestSTARTTLSFails(t *testing.T) {
	home := queuetest.New(t)
	client, over := served(t, home, "UCSPITLS=")
	c := smtptest.NewClient(t, client)
	io.WriteString(client, "STARTTLS\r\n")
	c.Hears("220 me.example ESMTP", "220 Ready to start TLS (#5.7.0)")
	io.WriteString(client, mail) // what is no handshake
	rest, _ := io.ReadAll(c.R)
	if code := over(); code != 1 || strings.Contains(string(rest), "250 ") || len(home.Messages(t)) > 0 {
		t.Errorf("exit %d, %q, %+v", code, rest, home.Messages(t))
	}
}
