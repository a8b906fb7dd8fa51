package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"postrider/internal/proctest"
)

// TestChains: qmail-authup with servers behind checkpassword, as they are run.
func TestChains(t *testing.T) {
	p := settle(t)
	rules, err := os.ReadFile("../../examples/control/fixsmtpio")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"fixsmtpio": string(rules), "rcpthosts": "me.example\n"} {
		if err := os.WriteFile(p.home+"/control/"+name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := "AUTH PLAIN " + plain("joe", "hunter2 is the password") + "\r\n"
	ehlo := "250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
	greeting, ok := "220 me.example ESMTP\r\n", "235 ok, go ahead (#2.0.0)\r\n"
	for _, c := range []struct {
		reason, in, out string
		code            int
		prog            string
	}{
		{"qmail-smtpd", in + "EHLO x\r\nAUTH PLAIN x\r\nQUIT\r\n", greeting + ok + ehlo + "502 unimplemented (#5.5.1)\r\n221 me.example\r\n", 0, "fixsmtpio qmail-smtpd"},
		{"the client ends", in + "EHLO x\r\n", greeting + ok + ehlo, 0, "fixsmtpio qmail-smtpd"},
		{"qmail-ofmipd", in + "EHLO x\r\nAUTH PLAIN x\r\nQUIT\r\n", greeting + ok + ehlo + "502 unimplemented (#5.5.1)\r\n221 me.example\r\n", 0, "qmail-ofmipd"},
		{"qmail-ofmipd, the client ends", in + "EHLO x\r\n", greeting + ok + ehlo, 0, "qmail-ofmipd"},
	} {
		args := append([]string{"authup", "smtp", "checkpassword"}, strings.Fields(c.prog)...)
		out, code := p.piped(nil, c.in, args...)
		if out != c.out || code != c.code {
			t.Errorf("%s: exit %d, want %d\n%s\nwant\n%s", c.reason, code, c.code, out, c.out)
		}
	}
	// Here the client stays, and it is the server that ends.
	if err := os.WriteFile(p.home+"/control/timeoutsmtpd", []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		prog string
		code int
		says string
	}{
		{"fixsmtpio echo 421 nope", 14, "421 nope\n"},
		{"fixsmtpio echo 554 nope", 15, "554 nope\n"},
		{"fixsmtpio qmail-smtpd", 1, ok + "451 authup timeout (#4.4.2)\r\n"},
	} {
		r, w := proctest.Pipe(t)
		io.WriteString(w, in)
		cmd := p.command(nil, append([]string{"authup", "smtp", "checkpassword"}, strings.Fields(c.prog)...)...)
		cmd.Stdin = r
		out, _ := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); string(out) != greeting+c.says || code != c.code {
			t.Errorf("%s: exit %d, want %d\n%s\nwant\n%s", c.prog, code, c.code, out, greeting+c.says)
		}
	}
}
