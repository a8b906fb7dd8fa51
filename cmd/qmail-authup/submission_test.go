package main

import (
	"net/smtp"
	"strings"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/queuetest"
	"postrider/internal/smtptest"
)

// dial runs a UCSPI chain once, for the client that it returns.
func (p place) dial(t *testing.T, env []string, args ...string) *smtp.Client {
	t.Helper()
	client, f := proctest.Connection(t)
	cmd := p.command(env, args...)
	log := new(strings.Builder)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = f, f, log
	err := cmd.Start()
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		if cmd.Wait(); t.Failed() {
			t.Log(log)
		}
	})
	c, err := smtp.NewClient(client, "mx.example")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSubmission: a message from the standard library's client through
// ucspi-tlsd, TLS 1.3, qmail-authup, checkpassword and qmail-ofmipd into a queue.
func TestSubmission(t *testing.T) {
	p, home := settle(t), queuetest.New(t)
	home.Control(t, "smtpcapabilities", "PIPELINING\n8BITMIME\n")
	p.home = string(home)
	env := append(smtptest.OnDisk(t, "mx.example"), "UCSPITLS=!", "QUEUE_HOME="+p.home, "QUEUE_FIRST=", "QUEUE_THEN=")
	chain := []string{"ucspi-tlsd", "qmail-authup", "smtp", "checkpassword", "qmail-ofmipd"}
	c := p.dial(t, env, chain...)
	if err := c.Mail("u@me.example"); err == nil || !strings.HasPrefix(err.Error(), "530 ") {
		t.Fatalf("MAIL in clear: %v", err)
	}
	if err := c.StartTLS(smtptest.Believer("mx.example")); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", "u", "wrong", "mx.example")); err == nil || !strings.HasPrefix(err.Error(), "535 ") {
		t.Fatalf("a wrong password: %v", err)
	}

	c = p.dial(t, env, chain...)
	if err := c.StartTLS(smtptest.Believer("mx.example")); err != nil {
		t.Fatal(err)
	}
	if err := c.Auth(smtp.PlainAuth("", "u", "p", "mx.example")); err != nil {
		t.Fatal(err)
	}
	if err := submit(c); err != nil {
		t.Fatal(err)
	}
	m := home.Only(t)
	if m.Envelope != queuetest.Envelope("u@me.example", "bob@example.net") || !strings.HasSuffix(m.Content, "\nSubject: hello\n\nthere\n") {
		t.Errorf("queued %+v", m)
	}
	for _, v := range []string{"AUTHUP_USER=u\n", "SSL_PROTOCOL=TLSv1.3\n"} {
		if !strings.Contains("\n"+m.Env, "\n"+v) {
			t.Errorf("no %q for qmail-queue:\n%s", v, m.Env)
		}
	}
}

func submit(c *smtp.Client) error {
	if err := c.Mail("u@me.example"); err != nil {
		return err
	}
	if err := c.Rcpt("bob@example.net"); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte("Subject: hello\r\n\r\nthere\r\n")); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}
