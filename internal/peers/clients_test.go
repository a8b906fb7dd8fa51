package peers

import (
	"bufio"
	"bytes"
	"context"
	"net/smtp"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// client runs a client and gives its exit code and all it said.
func client(t *testing.T, in string, argv ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C"}
	cmd.Stdin = strings.NewReader(in)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	var watch sync.WaitGroup
	defer watch.Wait()
	ended := make(chan struct{})
	defer close(ended)
	watch.Go(func() {
		select {
		case <-ended:
		case <-time.After(patience / 10): // long before the client gives up, and with it whoever it waits for
			t.Logf("%s has not ended in %v\n%s", argv[0], patience/10, stuck())
		}
	})
	cmd.Run()
	return cmd.ProcessState.ExitCode(), out.String()
}

// swaks sends one message to port.
func (m *mx) swaks(port string, more ...string) (int, string) {
	m.t.Helper()
	argv := []string{Swaks(m.t), "--server", mxAddr, "--port", port, "--helo", "client.example", "--from", "me@example.org", "--to", "you@example.net",
		"--data", "Subject: hello\n\nbody\n.\nend", "--timeout", "300"}
	return client(m.t, "", append(argv, more...)...)
}

func TestSwaks(t *testing.T) {
	m := newMX(t)
	m.all()
	secure := []string{"--tls", "--tls-verify", "--tls-ca-path", m.ca.File, "--tls-protocol", "tlsv1_2,tlsv1_3"}
	auth := func(how, secret string) []string {
		return append([]string{"--auth", how, "--auth-user", "ann", "--auth-password", secret}, secure...)
	}
	seen := 0
	for _, c := range []struct {
		name, port string
		args       []string
		code       int
		says       string // of swaks
		content    string // of the message
	}{
		{"in clear", "25", nil, 0, "221 ", "with ESMTP;"},
		{"STARTTLS", "25", secure, 0, "TLS started with cipher TLSv1.3", "with ESMTPS;"},
		{"pipelining", "25", []string{"--pipeline"}, 0, "354 ", "with ESMTP;"},
		{"pipelining under TLS", "25", append([]string{"--pipeline"}, secure...), 0, "354 ", "with ESMTPS;"},
		{"relaying", "25", []string{"--to", "you@elsewhere.example"}, 24, "553 ", ""},
		{"AUTH on port 25", "25", auth("PLAIN", password), 28, "", ""},
		{"no password", "587", secure, 23, "530 ", ""},
		{"a password in clear", "587", []string{"--auth", "PLAIN", "--auth-user", "ann", "--auth-password", password}, 28, "530 ", ""},
		{"AUTH PLAIN", "587", auth("PLAIN", password), 0, "235 ", "Received: (ofmipd "},
		{"AUTH LOGIN", "587", auth("LOGIN", password), 0, "235 ", "Received: (ofmipd "},
		{"AUTH, pipelining", "587", append(auth("PLAIN", password), "--pipeline"), 0, "235 ", "Received: (ofmipd "},
		{"wrong password, PLAIN", "587", auth("PLAIN", "wrong"), 28, "535 ", ""},
		{"wrong password, LOGIN", "587", auth("LOGIN", "wrong"), 28, "535 ", ""},
		{"root", "587", append(secure, "--auth", "PLAIN", "--auth-user", "root", "--auth-password", password), 28, "535 ", ""},
		{"TLS at once", "465", append([]string{"--tls-on-connect"}, auth("PLAIN", password)[0:6]...), 0, "235 ", "Received: (ofmipd "},
		{"TLS at once, wrong password", "465", append([]string{"--tls-on-connect"}, auth("LOGIN", "wrong")[0:6]...), 28, "535 ", ""},
	} {
		code, said := m.swaks(c.port, c.args...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%s: exit %d:\n%s\n%s", c.name, code, said, m.log())
		}
		if c.content == "" {
			continue
		}
		if got := m.taken(&seen, "you@example.net", "\nbody\n.\nend\n"); !strings.Contains(got.Content, c.content) {
			t.Errorf("%s: %q", c.name, got.Content)
		}
	}
	if n := len(m.home.Messages(t)); n != seen {
		t.Errorf("%d messages, want %d", n, seen)
	}
	m.secrets()
}

func TestCurl(t *testing.T) {
	m := newMX(t)
	m.all()
	file := filepath.Join(directory(t, "message"), "message")
	write(t, file, "Subject: hello\r\n\r\nbody\r\n")
	curl := func(url string, more ...string) (int, string) {
		port := url[strings.LastIndexByte(strings.TrimSuffix(url, "/1"), ':')+1:]
		argv := []string{Curl(t), "-sS", "--url", url, "--resolve", mxName + ":" + strings.TrimSuffix(port, "/1") + ":" + mxAddr, "--cacert", m.ca.File, "--max-time", "300"}
		return client(t, "", append(argv, more...)...)
	}
	message := []string{"--mail-from", "me@example.org", "--mail-rcpt", "you@example.net", "--upload-file", file}
	ann := []string{"--user", "ann:" + password}
	seen := 0
	for _, c := range []struct {
		name, url string
		args      []string
		code      int
		mail      bool
		says      string
	}{
		{"SMTP in clear", "smtp://" + mxName + ":25", message, 0, true, ""},
		{"STARTTLS", "smtp://" + mxName + ":25", append([]string{"--ssl-reqd"}, message...), 0, true, ""},
		{"another name", "smtp://" + mxName + ":25", append([]string{"--ssl-reqd", "--connect-to", "other.example:25:" + mxName + ":25", "--url", "smtp://other.example:25"}, message[:0]...), 60, false, ""},
		{"submission, PLAIN", "smtp://" + mxName + ":587", append(append([]string{"--ssl-reqd", "--login-options", "AUTH=PLAIN"}, ann...), message...), 0, true, ""},
		{"submission, LOGIN", "smtp://" + mxName + ":587", append(append([]string{"--ssl-reqd", "--login-options", "AUTH=LOGIN"}, ann...), message...), 0, true, ""},
		{"wrong password", "smtp://" + mxName + ":587", append([]string{"--ssl-reqd", "--user", "ann:wrong"}, message...), 67, false, ""},
		{"SMTPS", "smtps://" + mxName + ":465", append(append([]string{}, ann...), message...), 0, true, ""},
		{"POP3", "pop3://" + mxName + ":110/1", append([]string{"--ssl-reqd"}, ann...), 0, false, "Subject: ann\r\n\r\npopped\r\n"},
		{"POP3, wrong password", "pop3://" + mxName + ":110/1", []string{"--ssl-reqd", "--user", "ann:wrong"}, 67, false, ""},
	} {
		code, said := curl(c.url, c.args...)
		if code != c.code || c.says != "" && said != c.says {
			t.Errorf("%s: exit %d: %s\n%s", c.name, code, said, m.log())
		}
		if c.mail {
			m.taken(&seen, "you@example.net", "\n\nbody\n")
		}
	}
	if n := len(m.home.Messages(t)); n != seen {
		t.Errorf("%d messages, want %d", n, seen)
	}
	m.secrets()
}

// pop3 fetches a message, under STLS.
func (m *mx) pop3(secret string) (int, string) {
	m.t.Helper()
	return client(m.t, "USER ann\nPASS "+secret+"\nRETR 1\nQUIT\n", OpenSSL(m.t), "s_client", "-CAfile", m.ca.File, "-verify_return_error",
		"-verify_hostname", mxName, "-crlf", "-quiet", "-starttls", "pop3", "-connect", mxAddr+":110")
}

// POP3 with a name and a password, under STLS and not without.
func TestPOP3(t *testing.T) {
	m := newMX(t)
	m.all()
	if code, said := m.pop3(password); code != 0 || !strings.Contains(said, "Subject: ann\r\n\r\npopped\r\n") {
		t.Errorf("exit %d: %s\n%s", code, said, m.log())
	}
	if code, said := m.pop3("wrong"); !strings.Contains(said, "-ERR authup authorization failed") || strings.Contains(said, "popped") {
		t.Errorf("exit %d: %s\n%s", code, said, m.log())
	}
	c := greeted(t, "110")
	if _, err := c.Write([]byte("USER ann\r\n")); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "-ERR authup Must start TLS first\r\n" {
		t.Errorf("%q, %v", line, err)
	}
	m.secrets()
}

func TestSClient(t *testing.T) {
	m := newMX(t)
	m.all()
	for _, c := range []struct {
		name string
		args []string
		good bool
	}{
		{"SMTP", []string{"-starttls", "smtp", "-connect", mxAddr + ":25"}, true},
		{"SMTP, TLS 1.2", []string{"-starttls", "smtp", "-connect", mxAddr + ":25", "-tls1_2"}, true},
		{"SMTP, TLS 1.1", []string{"-starttls", "smtp", "-connect", mxAddr + ":25", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, false},
		{"SMTP, another name", []string{"-starttls", "smtp", "-connect", mxAddr + ":25", "-verify_hostname", "other.example"}, false},
		{"submission", []string{"-starttls", "smtp", "-connect", mxAddr + ":587"}, true},
		{"TLS at once", []string{"-connect", mxAddr + ":465"}, true},
		{"POP3", []string{"-starttls", "pop3", "-connect", mxAddr + ":110"}, true},
	} {
		argv := []string{OpenSSL(t), "s_client", "-CAfile", m.ca.File, "-verify_return_error", "-servername", mxName, "-crlf", "-ign_eof"}
		if !strings.Contains(strings.Join(c.args, " "), "-verify_hostname") {
			argv = append(argv, "-verify_hostname", mxName)
		}
		code, said := client(t, "QUIT\n", append(argv, c.args...)...)
		ended := strings.Contains(said, "\n221 ") || strings.Contains(said, "\n+OK ")
		if good := code == 0 && ended && strings.Contains(said, "Verify return code: 0 (ok)"); good != c.good {
			t.Errorf("%s: exit %d:\n%s\n%s", c.name, code, said, m.log())
		}
		if strings.Contains(said, "Reused") || c.good && strings.Contains(said, "unexpected eof") {
			t.Errorf("%s:\n%s", c.name, said)
		}
	}
}

// Postfix sends on what it gets, and our own client too, and both believe us.
func TestSendersBelieveUs(t *testing.T) {
	m := newMX(t)
	m.serve("25", "UCSPITLS=!", "ucspi-tlsd", SetUIDGID(t), "qmaild", "qmail-smtpd")
	relay := Postfix(t, ServerConfig{Listen: where, Relay: "[" + mxAddr + "]:25", RelayAnchor: m.ca.File})
	if err := submit(t, relay.Addr, "me@example.org", "you@example.net", sample); err != nil {
		t.Fatal(err)
	}
	relay.until(t, "send the message on", func() bool { return len(m.home.Messages(t)) == 1 && relay.idle() })
	seen := 0
	got := m.taken(&seen, "you@example.net", sample[strings.Index(sample, "Subject"):])
	if !strings.Contains(got.Content, "with ESMTPS;") || !strings.Contains(relay.Log(), "Verified TLS connection established") {
		t.Errorf("%q\n%s", got.Content, relay.Log())
	}
	Unbound(t, "127.0.0.1:53", SignedZones(t, "192.0.2.53", Zone{Name: "example.net.", Records: "@ MX 10 mx\nmx A " + mxAddr + "\n_25._tcp.mx TLSA 3 1 1 " + m.cert.SPKI}))
	d := delivery{control{"trustanchors": m.ca.File, "tlsstrictness": "2"}.home(t), "example.net", "me@example.org", []string{"you@example.net"}, sample}
	output(t, d.command(t)).want(t, "rK", "verified=dane")
	if got := m.taken(&seen, "you@example.net", sample); !strings.Contains(got.Content, "with ESMTPS;") {
		t.Errorf("%q", got.Content)
	}
}

// Each process has its own rights while a session is held: no process of root's hears the network under TLS, and the
// password is nowhere but where it was asked for.
func TestRightsOfASession(t *testing.T) {
	m := newMX(t)
	m.all()
	qmaild, tlsd := account(t, "qmaild"), account(t, "tlsd")
	c, err := smtp.Dial(mxAddr + ":587")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	owned(t, "ucspi-tlsd-io", 0)
	if err := c.StartTLS(m.trust()); err != nil {
		t.Fatal(err)
	}
	owned(t, "ucspi-tlsd-io", tlsd)
	if err := c.Auth(smtp.PlainAuth("", "ann", password, mxAddr)); err != nil {
		t.Fatal(err)
	}
	owned(t, "qmail-ofmipd", qmaild)
	m.secrets()
	in := greeted(t, "25")
	owned(t, "qmail-smtpd", qmaild)
	in.Close()
	if err := c.Quit(); err != nil {
		t.Error(err)
	}
	m.nobodyLeft()
}
