package main

import (
	"encoding/base64"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postrider/inbound/authup"
)

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		line string
		want options
		ok   bool
	}{
		{"authup smtp check prog", options{0, authup.SMTP, []string{"check", "prog"}}, true},
		{"authup POP3 check", options{0, authup.POP3, []string{"check"}}, true},
		{"authup -t 3 smtp check", options{3, authup.SMTP, []string{"check"}}, true},
		{"authup -t3 -- smtp -x", options{3, authup.SMTP, []string{"-x"}}, true},
		{"authup -t 0 smtp check -t 9", options{0, authup.SMTP, []string{"check", "-t", "9"}}, true},
		{"authup", options{}, false},
		{"authup smtp", options{}, false},
		{"authup imap check", options{}, false},
		{"authup -t smtp check", options{}, false},
		{"authup -t", options{}, false},
		{"authup -x smtp check", options{}, false},
		{"authup - smtp check", options{}, false},
	} {
		got, ok := parseOptions(strings.Fields(c.line))
		if ok != c.ok || ok && (got.tries != c.want.tries || got.protocol != c.want.protocol || !slices.Equal(got.command, c.want.command)) {
			t.Errorf("%s: %+v, %v; want %+v, %v", c.line, got, ok, c.want, c.ok)
		}
	}
	if _, ok := parseOptions(nil); ok {
		t.Error("no name, no complaint")
	}
}

// plain is the argument of AUTH PLAIN.
func plain(user, password string) string {
	return base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + password))
}

// TestPiped: sessions of the program, and what it is called.
func TestPiped(t *testing.T) {
	p := settle(t)
	empty := p
	empty.home = t.TempDir()
	broken := settle(t)
	if err := os.Remove(broken.home + "/control/smtpcapabilities"); err != nil {
		t.Fatal(err)
	}
	smtp := []string{"qmail-authup", "smtp", "checkpassword", "server", "235 ok, go ahead (#2.0.0)"}
	ehlo := "220 me.example ESMTP\r\n250-me.example\r\n250-AUTH LOGIN PLAIN\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
	for _, c := range []struct {
		reason  string
		at      place
		in, out string
		code    int
		args    []string
	}{
		{"in, and on", p, "EHLO x\r\nAUTH PLAIN " + plain("u", "p") + "\r\nMAIL FROM:<a>\r\nEXIT 14\r\n", ehlo + "235 ok, go ahead (#2.0.0)\r\nheard MAIL FROM:<a>\r\n", 14, smtp},
		{"not in", p, "AUTH PLAIN " + plain("u", "q") + "\r\nQUIT\r\n", "220 me.example ESMTP\r\n535 authup authorization failed (#5.7.0)\r\n221 me.example\r\n", 0, smtp},
		{"one try", p, "AUTH PLAIN " + plain("u", "q") + "\r\nQUIT\r\n", "220 me.example ESMTP\r\n535 authup authorization failed (#5.7.0)\r\n", 1,
			[]string{"authup", "-t", "1", "SMTP", "checkpassword", "server"}},
		{"no control files", empty, "", "421 authup unable to read controls (#4.3.0)\r\n", 1, smtp},
		{"no capabilities", broken, "", "421 authup unable to read controls (#4.3.0)\r\n", 1, smtp},
		{"no control files of POP3", empty, "", "-ERR authup unable to read controls\r\n", 1, []string{"authup", "pop3", "checkpassword", "server"}},
		{"usage", p, "", "", 1, []string{"qmail-authup", "imap", "checkpassword"}},
		{"usage of qmail-popup", p, "", "", 1, []string{"qmail-popup", "pop.example"}},
		{"root, or what stands in for it", p, "AUTH PLAIN " + plain("u", "p") + "\r\n", map[bool]string{
			true:  "220 me.example ESMTP\r\n535 authup authorization failed (#5.7.0)\r\n",
			false: "220 me.example ESMTP\r\n235 ok\r\n",
		}[os.Getuid() == 0], map[bool]int{true: 1}[os.Getuid() == 0], []string{"authup", "-t1", "smtp", "checkpassword", "checknotroot", "server", "235 ok"}},
	} {
		out, code := c.at.piped(nil, c.in, c.args...)
		if out != c.out || code != c.code {
			t.Errorf("%s: exit %d, %q, want %d, %q", c.reason, code, out, c.code, c.out)
		}
	}
}

// TestPOP3: the program on a socket, as authup and as qmail-popup.
func TestPOP3(t *testing.T) {
	p := settle(t)
	s := p.begin(t, nil, nil, "authup", "pop3", "checkpassword", "server", "+OK ")
	stamp := strings.TrimPrefix(hear(t, s), "+OK ")
	if !strings.HasPrefix(stamp, "<"+strconv.Itoa(s.cmd.Process.Pid)+".") || !strings.HasSuffix(stamp, "@me.example>") {
		t.Errorf("timestamp %q", stamp)
	}
	send(s, "CAPA", "USER u", "PASS p", "STAT")
	expect(t, s, "+OK capability list follows", "USER", "TOP", "UIDL", ".", "+OK ", "+OK ", "heard STAT")
	if rest, code := s.end(t); rest != "" || code != 0 {
		t.Errorf("exit %d, %q", code, rest)
	}
	if saw, _ := os.ReadFile(p.saw); !strings.HasPrefix(string(saw), strconv.Quote("u\x00p\x00"+stamp+"\x00")+" ") {
		t.Errorf("checkpassword saw %s", saw)
	}

	p = place{t.TempDir(), p.passwords, p.saw} // no control files
	s = p.begin(t, nil, nil, "qmail-popup", "pop.example", "checkpassword", "server", "+OK ")
	if got := hear(t, s); !strings.HasSuffix(got, "@pop.example>") {
		t.Errorf("greets %q", got)
	}
	send(s, "USER u", "PASS p", "LIST")
	expect(t, s, "+OK ", "+OK ", "heard LIST")
	if rest, code := s.end(t); rest != "" || code != 1 {
		t.Errorf("exit %d, %q", code, rest)
	}
}
