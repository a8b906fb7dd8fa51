package peers

import (
	"crypto/tls"
	"errors"
	"net/smtp"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/authtest"
)

func TestMain(m *testing.M) {
	authtest.Main() // and what else runs behind qmail-authup
	pop3d()
	Main(m)
}

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

// code is the reply code of a refusal: 0 for none, -1 for an error that is no reply.
func code(err error) int {
	var reply *textproto.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &reply):
		return reply.Code
	}
	return -1
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

// servers are the mail servers every test of a ServerConfig runs against.
var servers = []struct {
	name  string
	start func(testing.TB, ServerConfig) *Server
	trace string // how its Received field tells of SMTPUTF8 under TLS, which net/smtp asks for wherever offered
}{
	{"Postfix", Postfix, "with UTF8SMTPS"},
	{"Exim", Exim, "with utf8esmtps"},
}

func TestServersTakeMail(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t, ServerConfig{
				Listen: "192.0.2.10:25", Cert: NewAuthority(t).Issue(t, "mx.example.net"), SizeLimit: 100000,
				Reject: []string{"refused@example.net"}, TempReject: []string{"later@example.net"},
			})
			for recipient, want := range map[string]int{"you@example.net": 0, "refused@example.net": 550, "later@example.net": 450} {
				if err := submit(t, p.Addr, "me@example.org", recipient, sample); code(err) != want {
					t.Errorf("%s: %v, want %d", recipient, err, want)
				}
			}
			got := p.Wait(t, 1)
			if len(got) != 1 || got[0].Sender != "me@example.org" || got[0].Recipient != "you@example.net" || got[0].Text != sample {
				t.Errorf("delivered %+q", got)
			} else if !strings.Contains(got[0].Trace, s.trace) {
				t.Errorf("trace %q, want %s", got[0].Trace, s.trace)
			}
			if p.Log() == "" {
				t.Error("no log")
			}
			if limit := sizeOffered(t, p.Addr); limit != "100000" {
				t.Errorf("SIZE offered: %q, want 100000", limit)
			}
		})
	}
}

// sizeOffered is the argument of SIZE in the answer to EHLO (RFC 1870 §4).
func sizeOffered(t testing.TB, addr string) string {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, limit := c.Extension("SIZE")
	return limit
}

func TestServersAskForPasswords(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t, ServerConfig{
				Listen: "192.0.2.10:25", Cert: NewAuthority(t).Issue(t, "mx.example.net"), Users: map[string]string{"ann": "secret", "bob": "other"},
			})
			for password, want := range map[string]int{"secret": 0, "wrong": 535} {
				if err := login(t, p.Addr, "ann", password); code(err) != want {
					t.Errorf("%s: %v, want %d", password, err, want)
				}
			}
			if err := submit(t, p.Addr, "me@example.org", "you@example.net", sample); code(err)/100 != 5 {
				t.Errorf("without a password: %v, want 5xx", err)
			}
		})
	}
}

// login authenticates with PLAIN under TLS.
func login(t testing.TB, addr, user, password string) error {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(&tls.Config{InsecureSkipVerify: true, ServerName: "mx.example.net"}); err != nil {
		t.Fatal(err)
	}
	return c.Auth(smtp.PlainAuth("", user, password, strings.TrimSuffix(addr, ":25")))
}

func TestServersAskForCertificates(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			ca := NewAuthority(t)
			p := s.start(t, ServerConfig{Listen: "192.0.2.10:25", Cert: ca.Issue(t, "mx.example.net"), ClientAnchor: ca.File})
			pair := ca.Issue(t, "client.example.org")
			mine, err := tls.LoadX509KeyPair(pair.CertFile, pair.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			if err := hello(t, p.Addr, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{mine}}); err != nil {
				t.Error("with a certificate:", err)
			}
			if err := hello(t, p.Addr, &tls.Config{InsecureSkipVerify: true}); err == nil {
				t.Error("taken without a certificate")
			}
		})
	}
}

// hello goes as far as MAIL under TLS.
func hello(t testing.TB, addr string, conf *tls.Config) error {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.StartTLS(conf); err != nil {
		return err
	}
	return c.Mail("me@example.org")
}

func TestTinycdbReadsWhatItMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.cdb")
	create := exec.Command(CDB(t), "-c", file)
	create.Stdin = strings.NewReader("+3,5:one->first\n\n")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if out, err := exec.Command(CDB(t), "-q", file, "one").Output(); err != nil || string(out) != "first" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestTCPClientMeetsTCPServer(t *testing.T) {
	p := launch(t, directory(t, "tcpserver"), TCPServer(t), "-RHl0", "192.0.2.12", "25", "/bin/echo", "220 hello")
	p.listening(t, "192.0.2.12:25")
	out, err := exec.Command(TCPClient(t), "-RHl0", "192.0.2.12", "25", "/bin/sh", "-c", "cat <&6").Output()
	if err != nil || string(out) != "220 hello\n" {
		t.Errorf("%q, %v", out, err)
	}
}
