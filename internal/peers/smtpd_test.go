package peers

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/queuetest"
)

// smtpd runs qmail-smtpd under Debian's tcpserver, for a home.
func smtpd(t *testing.T, home queuetest.Home, env ...string) {
	t.Helper()
	dir := directory(t, "smtpd")
	argv := append([]string{"/usr/bin/env"}, append(home.Env("", ""), env...)...)
	argv = append(argv, TCPServer(t), "-RHl", "mx.example.net", "192.0.2.14", "25", program(t, "qmail-smtpd"))
	launch(t, dir, argv...).listening(t, "192.0.2.14:25")
}

// received fails the test unless n messages are in the queue of a home, whole.
func received(t *testing.T, home queuetest.Home, n int) []queuetest.Message {
	t.Helper()
	list := home.Messages(t)
	if len(list) != n {
		t.Fatalf("%d messages, want %d", len(list), n)
	}
	for _, m := range list {
		if !m.Taken {
			t.Errorf("not taken: %+v", m)
		}
	}
	return list
}

// Tcpserver's environment, a cdb that tinycdb has made, and mail from our own
// qmail-remote.
func TestTCPServerRunsQmailSMTPD(t *testing.T) {
	home := queuetest.New(t)
	home.Control(t, "rcpthosts", "example.net\n")
	create := exec.Command(CDB(t), "-c", filepath.Join(string(home), "control/morercpthosts.cdb"))
	create.Stdin = strings.NewReader("+12,0:more.example->\n+13,0:.deep.example->\n\n")
	if out, err := create.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	smtpd(t, home)
	from := control{"smtproutes": ":192.0.2.14"}.home(t)
	for _, host := range []string{"example.net", "more.example", "a.deep.example"} {
		d := delivery{home: from, host: host, sender: "me@example.org", rcpts: []string{"you@" + host}, text: sample}
		output(t, d.command(t)).want(t, "rK", "250 ok ")
	}
	d := delivery{home: from, host: "deep.example", sender: "me@example.org", rcpts: []string{"you@deep.example"}, text: sample}
	output(t, d.command(t)).want(t, "hD", "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)")
	for i, m := range received(t, home, 3) {
		field, text, _ := strings.Cut(m.Content, "-0000\n")
		if want := "Received: from unknown (HELO mail.example.org) (192.0.2.14)\n  by mx.example.net with ESMTP; "; text != sample || !strings.HasPrefix(field, want) {
			t.Errorf("%d: %q", i, m.Content)
		}
	}
}

// Postfix's load generator, many connections at once and many messages in each.
func TestSMTPSourceFillsQmailSMTPD(t *testing.T) {
	home := queuetest.New(t)
	smtpd(t, home)
	const n = 60
	source := exec.Command("/usr/sbin/smtp-source", "-s", "6", "-m", "60", "-l", "70000", "-r", "3", "-d", "-f", "me@example.org", "-t", "you@example.net", "inet:192.0.2.14:25")
	if out, err := source.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) != 0 {
		t.Fatalf("smtp-source: %v: %s", err, out)
	}
	for _, m := range received(t, home, n) {
		if len(m.Content) < 65_000 || strings.Count(m.Envelope, "\x00T") != 3 {
			t.Errorf("%d bytes, envelope %q", len(m.Content), m.Envelope)
		}
	}
}
