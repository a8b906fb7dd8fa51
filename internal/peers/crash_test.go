package peers

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/authtest"
	"postrider/internal/proctest"
	"postrider/internal/queuetest"
)

// named is the process of that name, of at most 15 bytes, in the session that tcpserver started last.
func (s served) named(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile(s.p.output)
	if err != nil {
		t.Fatal(err)
	}
	log := string(b)
	var first int
	if _, err := fmt.Sscanf(log[strings.LastIndex(log, "tcpserver: pid "):], "tcpserver: pid %d", &first); err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	for list := []int{first}; len(list) > 0; list = list[1:] {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", list[0])); err == nil && string(b) == name+"\n" {
			return list[0]
		}
		list = append(list, proctest.Children(t, list[0])...)
	}
	t.Fatalf("no process of %s", name)
	return 0
}

// A crash in the middle of a message, S35: SIGSEGV makes the runtime of Go give up as a panic that nobody has caught
// does. The program that crashes dies by signal, and has no exit code that would mean something to whoever started it;
// no message is taken, nobody is told that one was, and the next client is served.
func TestCrash(t *testing.T) {
	g := newGolden(t)
	const mail = "C: MAIL FROM:<a@b>\nS: 250 ok\nC: RCPT TO:<c@d>\nS: 250 ok\nC: DATA\nS: 354 go ahead\nC: Subject: x"
	const greeting, login = "S: 220 me.example ESMTP\n", "C: AUTH PLAIN AHUAcA==\nS: 235 ok, go ahead (#2.0.0)\n"
	const starttls = "C: STARTTLS\nS: 220 Ready to start TLS (#5.7.0)\nTLS\n"
	for _, c := range []struct {
		victim, env, chain, script string
		says                       string // the last words
		exit                       int    // of the chain; -1 is a death by signal
	}{
		{"qmail-smtpd", "", "qmail-smtpd", greeting + mail, "", -1},
		{"qmail-ofmipd", "", "qmail-ofmipd", greeting + mail, "", -1},
		{"qmail-ofmipd", "", "qmail-authup smtp checkpassword qmail-ofmipd", greeting + login + mail, "454 authup aack, child crashed (#4.3.0)\r\n", 1},
		{"qmail-authup", "", "qmail-authup smtp checkpassword qmail-ofmipd", greeting, "", -1},
		{"fixsmtpio", "", "fixsmtpio qmail-smtpd", greeting + mail, "", -1},
		{"qmail-smtpd", "", "fixsmtpio qmail-smtpd", greeting + mail, "", 1},
		{"exe", "UCSPITLS=", "ucspi-tlsd smtpd-starttls-proxy-io qmail-smtpd", greeting + mail, "", 1},
		{"ucspi-tlsd-io", "UCSPITLS=", "ucspi-tlsd qmail-smtpd", greeting + starttls + mail, "", 1},
	} {
		t.Run(c.chain+"/"+c.victim, func(t *testing.T) {
			if c.env != "" {
				ordinary(t, "a program that gives up root's rights")
			}
			home := queuetest.New(t)
			home.Control(t, "smtpcapabilities", "8BITMIME\n")
			users := filepath.Join(string(home), "control/users")
			write(t, users, "u:p::/\n")
			argv := append(append([]string{"/usr/bin/env"}, home.Env("", "")...), "PATH="+g.path, authtest.PasswordFile+"="+users, "CERTFILE="+g.cert, "KEYFILE="+g.key)
			if c.env != "" {
				argv = append(argv, c.env)
			}
			conn := newServed(t, append(argv, "sh", "-c", "ulimit -c 0; exec "+c.chain)).(served)
			said, last := crash(t, g, conn, c.script, c.victim)
			exit, log := conn.over(t)
			if last != c.says || exit != c.exit {
				t.Errorf("exit %d, want %d; %q\n%s\n%s", exit, c.exit, last, said, log)
			}
			for limit := time.Now().Add(patience); len(owners(t, "qmail-queue")) > 0 && time.Now().Before(limit); {
				time.Sleep(time.Millisecond)
			}
			for _, m := range home.Messages(t) {
				if m.Taken || m.Envelope != "" {
					t.Errorf("queued %+v", m)
				}
			}
			next, err := net.Dial("tcp", conn.RemoteAddr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer next.Close()
			next.SetDeadline(time.Now().Add(patience))
			b := make([]byte, len("220 me.example ESMTP"))
			if _, err := io.ReadFull(next, b); err != nil || string(b) != "220 me.example ESMTP" {
				t.Errorf("the next client hears %q, %v", b, err)
			}
		})
	}
}

// crash follows a script, and then has the victim crash. It gives what the client hears after that.
func crash(t *testing.T, g golden, conn served, script, victim string) (said, last string) {
	t.Helper()
	said, wire, err := g.converse(plain{conn}, script)
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	if err := syscall.Kill(conn.named(t, victim), syscall.SIGSEGV); err != nil {
		t.Fatal(err)
	}
	rest, _ := io.ReadAll(wire) // a reset is an end, and so is broken TLS
	return said, string(rest)
}
