package main

import (
	"bufio"
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestUsage(t *testing.T) {
	for reason, c := range map[string]struct {
		env  []string
		prog []string
		code int
		log  string
	}{
		"no program":     {nil, nil, 100, "usage"},
		"no helper":      {[]string{"SSLCTLFD="}, []string{"true"}, 100, "usage"},
		"no number":      {[]string{"SSLREADFD=4x"}, []string{"true"}, 100, "usage"},
		"a negative one": {[]string{"SSLWRITEFD=-5"}, []string{"true"}, 100, "usage"},
		"no smtpd":       {nil, []string{"/nonexistent/smtpd"}, 111, "unable to run /nonexistent/smtpd: no such file"},
		"zeros will do":  {[]string{"SSLCTLFD=0", "SSLREADFD=0", "SSLWRITEFD=0"}, []string{"sh", "-c", "exit 7"}, 7, ""},
	} {
		s := beginWith(t, c.env, c.prog...)
		s.Hears("")
		if code, log := s.over(); code != c.code || !strings.Contains(log, c.log) || (c.log == "") != (log == "") {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
}

// TestDeclined: from MAIL on nobody looks at what is said, and the helper is not
// told of any end before there is one.
func TestDeclined(t *testing.T) {
	s := begin(t, nil, "BIG=flood 3000000|250 ok", "EHLO=250-mx|250-X|250 8BITMIME")
	s.Say("EHLO x|NOOP|MAIL FROM:<a>")
	s.Hears("220 mx", "250-mx", "250-X", "250-STARTTLS", "250 8BITMIME", "250 OK", "250 ok")
	long := strings.Repeat("y", 3000000)
	go s.Say("STARTTLS|" + long)
	s.Hears("250 ok", "250 ok")
	s.Say("BIG")
	if line, err := s.R.ReadString('\n'); len(line) != 3000000+len("250 ok\r\n") {
		t.Errorf("%d bytes, %v", len(line), err)
	}
	raw, err := s.helper.Ctl.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		if n, err := syscall.Read(int(fd), make([]byte, 1)); err != syscall.EAGAIN {
			t.Errorf("the helper hears %d bytes, %v", n, err)
		}
	})
	s.Say("QUIT")
	s.Hears("221 mx", "")
	if code, log := s.over(); code != 33 || log != "heard EHLO x\nheard MAIL FROM:<a>\nheard STARTTLS\nheard "+long+"\nheard BIG\nheard QUIT\n" {
		t.Errorf("exit %d, log of %d bytes", code, len(log))
	}
	if rest, err := io.ReadAll(s.helper.Ctl); len(rest) > 0 || err != nil {
		t.Errorf("the helper hears %q, %v", rest, err)
	}
}

// TestEnds: whoever ends, all does.
func TestEnds(t *testing.T) {
	for reason, c := range map[string]struct {
		script []string
		say    string
		leave  bool
		hears  []string
		code   int
	}{
		"the client":              {nil, "", true, []string{"220 mx", ""}, 44},
		"the client, with wishes": {nil, "HELP|RSET", true, []string{"220 mx", "250 ok", "250 ok", ""}, 44},
		"the server":              {nil, "QUIT", false, []string{"220 mx", "221 mx", ""}, 33},
		"the server, badly":       {[]string{"HELP=signal 9"}, "HELP", false, []string{"220 mx", ""}, -1},
		"the server, half said":   {[]string{"HELP=214-a|signal 9"}, "HELP", false, []string{"220 mx", "214-a", ""}, -1},
		"no SMTP":                 {[]string{"GREETING=hello"}, "", false, []string{""}, 44},
		"copied, the client":      {nil, "MAIL x|RCPT y", true, []string{"220 mx", "250 ok", "250 ok", ""}, 44},
		"copied, the server":      {nil, "HELO x|QUIT", false, []string{"220 mx", "250 ok", "221 mx", ""}, 33},
		"copied, badly":           {[]string{"RCPT=signal 9"}, "HELO x|RCPT", false, []string{"220 mx", "250 ok", ""}, -1},
		"copied, only hearing":    {[]string{"RCPT=250 last|dumb"}, "HELO x|RCPT|DATA", true, []string{"220 mx", "250 ok", "250 last", ""}, 44},
		"copied, only saying":     {[]string{"RCPT=deaf|250 last|exit 5"}, "HELO x|RCPT|DATA", false, []string{"220 mx", "250 ok", "250 last", ""}, 5},
	} {
		s := begin(t, nil, c.script...)
		if c.say != "" {
			s.Say(c.say)
		}
		if c.leave {
			s.client.CloseWrite()
		}
		s.Hears(c.hears...)
		if code, log := s.over(); code != c.code {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
}

func TestSTARTTLS(t *testing.T) {
	s := begin(t, []string{"UCSPITLS=", "SSL_X=y"}, "NOOP=env|250 end")
	s.Say("EHLO x|STARTTLS")
	s.Hears("220 mx", "250-mx", "250-STARTTLS", "250 8BITMIME", "220 Ready to start TLS")
	s.helper.Asked(t)
	io.WriteString(s.helper.Ctl, "SSL_PROTOCOL=x\x00\x00") // and it stays open
	s.W, s.R = s.helper.W, bufio.NewReader(s.helper.R)
	s.Say("EHLO y|NOOP|STARTTLS|" + strings.Repeat("z", 5000))
	s.Hears("250-mx", "250 8BITMIME", "250-SSL_X=y", "250 end", "250 ok", "250 ok")
	s.Say("QUIT")
	s.Hears("221 mx", "")
	s.helper.W.Close()
	if code, log := s.over(); code != 33 || !strings.HasPrefix(log, "heard EHLO x\nheard RSET\nheard EHLO y\nheard NOOP\nheard STARTTLS\nheard z") {
		t.Errorf("exit %d, log %q", code, log)
	}
}

// TestInjection: what came with STARTTLS is refused, or said in clear.
func TestInjection(t *testing.T) {
	s := begin(t, nil)
	s.Hears("220 mx")
	s.Say("STARTTLS|MAIL FROM:<evil>")
	s.Hears("503 nothing may follow STARTTLS before its reply (#5.5.1)", "250 ok")
	s.client.CloseWrite()
	if _, log := s.over(); log != "heard MAIL FROM:<evil>\nend\n" {
		t.Errorf("log %q", log)
	}
}

func TestSTARTTLSFails(t *testing.T) {
	s := begin(t, nil)
	s.Say("STARTTLS")
	s.Hears("220 mx", "220 Ready to start TLS")
	s.helper.Asked(t)
	s.helper.Ctl.Close()
	s.Hears("")
	if code, log := s.over(); code != 44 || !strings.Contains(log, "smtpd-starttls-proxy-io: unable to start TLS: ") || !strings.HasPrefix(log, "heard RSET\n") {
		t.Errorf("exit %d, log %q", code, log)
	}
	s = begin(t, nil, "RSET=554 never")
	s.Say("STARTTLS")
	s.Hears("220 mx", "454 Server failed to reset")
	s.Say("NOOP")
	s.Hears("250 OK")
	s.client.CloseWrite()
	s.over()
}

// TestPolicy: UCSPITLS as everywhere, but that no word of it means yes.
func TestPolicy(t *testing.T) {
	s := begin(t, []string{"UCSPITLS=!"})
	s.Say("EHLO x|MAIL FROM:<a>|QUIT")
	s.Hears("220 mx", "250-mx", "250-STARTTLS", "250 8BITMIME", "530 Must start TLS first (#5.7.0)", "221 mx", "")
	if _, log := s.over(); strings.Contains(log, "MAIL") {
		t.Errorf("log %q", log)
	}
	for _, env := range []string{"UCSPITLS=-", "DISABLETLS=1"} {
		s := begin(t, []string{env, "SSL_X=y"}, "NOOP=env|250 end")
		s.Say("EHLO x|STARTTLS|NOOP|QUIT")
		s.Hears("220 mx", "250-mx", "250 8BITMIME", "250 ok", "250-SSL_X=y", "250 end", "221 mx", "")
		s.over()
	}
}

// TestManyBytes: as many as fit nowhere, both ways at once.
func TestManyBytes(t *testing.T) {
	s := beginWith(t, nil, "sh", "-c", `printf '220 mx\r\n'; exec cat`)
	s.Hears("220 mx")
	payload := append([]byte("HELO x\r\n"), bytes.Repeat([]byte("0123456789abcdef"), 1<<18)...)
	done := make(chan error, 1)
	go func() {
		_, err := s.client.Write(payload)
		s.client.CloseWrite()
		done <- err
	}()
	got, err := io.ReadAll(s.R)
	if err != nil || !bytes.Equal(got, payload) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if code, log := s.over(); code != 0 || log != "" {
		t.Errorf("exit %d, %q", code, log)
	}
}

// TestChild: the name of the proxy is no way to anything.
func TestChild(t *testing.T) {
	for _, args := range [][]string{{child}, {child, "3"}, {child, "3", "y"}, {child, "x", "4"}, {child, "3", "4", "5"}} {
		cmd := exec.Command(filepath.Join(bin, "smtpd-starttls-proxy-io"))
		cmd.Args, cmd.Env = args, []string{"SSLCTLFD=3", "SSLREADFD=4", "SSLWRITEFD=5"}
		if cmd.Run(); cmd.ProcessState.ExitCode() != 100 {
			t.Errorf("%q: %v", args, cmd.ProcessState)
		}
	}
}
