package peers

import (
	"crypto/tls"
	"net/smtp"
	"os"
	"strings"
	"testing"
)

func TestMain(m *testing.M) { Main(m) }

// submit sends one message with the standard library's client, under TLS where offered.
func submit(t testing.TB, addr, sender, recipient string, text string) error {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Mail(sender); err != nil {
		return err
	}
	if err := c.Rcpt(recipient); err != nil {
		return err
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n"))); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}

const sample = "From: <me@example.org>\nSubject: hello\n\none\n.\n..two\n"

func TestTheMachineIsUntouched(t *testing.T) {
	if _, err := os.Stat("/usr/lib/postfix/sbin/master"); err != nil {
		t.Error("inside, Postfix is not in place:", err)
	}
	if err := os.WriteFile("/usr/peers-was-here", nil, 0o644); err == nil {
		t.Error("/usr can be written inside the namespace")
	}
}

func TestPostfixTakesMail(t *testing.T) {
	ca := NewAuthority(t)
	p := Postfix(t, ServerConfig{
		Listen: "192.0.2.10:25", Cert: ca.Issue(t, "mx.example.net"),
		Reject: []string{"refused@example.net"}, TempReject: []string{"later@example.net"},
	})
	for recipient, want := range map[string]string{
		"you@example.net": "", "refused@example.net": `550 "5.1.1 `, "later@example.net": `450 "4.2.0 `,
	} {
		err := submit(t, p.Addr, "me@example.org", recipient, sample)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %q", recipient, err, want)
		}
	}
	got := p.Wait(t, 1)
	if len(got) != 1 || got[0].Sender != "me@example.org" || got[0].Recipient != "you@example.net" || got[0].Text != sample {
		t.Errorf("delivered %+q", got)
	}
	if !strings.Contains(got[0].Trace, "with UTF8SMTPS") { // net/smtp asks for SMTPUTF8 wherever offered
		t.Errorf("trace %q, want UTF8SMTPS", got[0].Trace)
	}
	if !strings.Contains(p.Log(), "status=sent") {
		t.Errorf("log %q", p.Log())
	}
}
