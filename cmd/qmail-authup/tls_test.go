package main

import (
	"io"
	"os"
	"strings"
	"testing"

	"postrider/internal/proctest"
)

// TestSTARTTLS: S4, S5. What came in clear behind STARTTLS is gone, in TLS
// everything begins anew, and the program behind checkpassword has the records.
func TestSTARTTLS(t *testing.T) {
	for _, block := range []string{
		"SSL_PROTOCOL=TLSv1.3\x00SSL_CIPHER=TLS_AES_128_GCM_SHA256\x00SSL_TLS_SNI_SERVERNAME\x00PATH=/evil\x00\x00",
		"SSL_PROTOCOL=TLSv1.3\x00SSL_SESSION_ID=\x00SSL_CIPHER=TLS_AES_128_GCM_SHA256\x00\x00",
	} {
		p := settle(t)
		h := proctest.NewHelper(t)
		s := p.begin(t, append(h.Env, "UCSPITLS=!", "SSL_TLS_SNI_SERVERNAME=stale"), h.Files, "authup", "smtp", "checkpassword", "server", "235 ok")
		h.Given()
		expect(t, s, "220 me.example ESMTP")
		send(s, "EHLO a")
		expect(t, s, "250-me.example", "250-STARTTLS", "250-AUTH LOGIN PLAIN", "250-PIPELINING", "250 8BITMIME")
		send(s, "AUTH PLAIN "+plain("u", "p"))
		expect(t, s, "530 authup Must start TLS first (#5.7.0)")
		send(s, "STARTTLS", "AUTH PLAIN "+plain("evil", "x"), "NOOP evil")
		expect(t, s, "220 Ready to start TLS (#5.7.0)")
		h.Asked(t)
		io.WriteString(h.Ctl, block[:7])
		io.WriteString(h.Ctl, block[7:])
		send(h.W, "EHLO b")
		expect(t, h.R, "250-me.example", "250-AUTH LOGIN PLAIN", "250-PIPELINING", "250 8BITMIME")
		send(h.W, "STARTTLS")
		expect(t, h.R, "502 unimplemented (#5.5.1)")
		send(h.W, "AUTH PLAIN "+plain("u", "p"), "ENV SSL_CIPHER", "ENV SSL_TLS_SNI_SERVERNAME", "ENV UCSPITLS", "FACTS", "EXIT 7")
		sni := "unset"
		if !strings.Contains(block, "SNI") {
			sni = `"stale"`
		}
		expect(t, h.R, "235 ok", `"TLS_AES_128_GCM_SHA256"`, sni, "unset")
		if facts := hear(t, h.R); !strings.HasPrefix(facts, "fds=0,1,2 ") || !strings.HasSuffix(facts, " cwd=/ user=u") {
			t.Error(facts)
		}
		if rest, code := s.end(t); rest != "" || code != 7 {
			t.Errorf("exit %d, in clear %q", code, rest)
		}
		if saw, _ := os.ReadFile(p.saw); strings.Contains(string(saw), "evil") {
			t.Errorf("checkpassword saw %s", saw)
		}
		if n, err := h.Ctl.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("the helper is told more: %d, %v", n, err)
		}
		if log := s.log.String(); !strings.Contains(log, " negotiated TLS\n") {
			t.Errorf("log\n%s", log)
		}
	}
}

// TestSTLS is the same for POP3, whose USER in clear is forgotten.
func TestSTLS(t *testing.T) {
	p := settle(t)
	h := proctest.NewHelper(t)
	s := p.begin(t, append(h.Env, "UCSPITLS="), h.Files, "authup", "pop3", "checkpassword", "server", "+OK ")
	h.Given()
	hear(t, s)
	send(s, "USER evil", "CAPA")
	expect(t, s, "+OK ", "+OK capability list follows", "STLS", "USER", "TOP", "UIDL", ".")
	send(s, "STLS", "USER evil", "PASS evil")
	expect(t, s, "+OK starting TLS negotiation")
	h.Asked(t)
	io.WriteString(h.Ctl, "SSL_PROTOCOL=TLSv1.2\x00\x00")
	send(h.W, "PASS p", "STLS", "CAPA", "USER u", "PASS p", "FACTS")
	expect(t, h.R, "-ERR authup USER first", "-ERR STLS not available", "+OK capability list follows", "USER", "TOP", "UIDL", ".", "+OK ", "+OK ")
	if facts := hear(t, h.R); !strings.HasPrefix(facts, "fds=0,1,2 ") {
		t.Error(facts)
	}
	h.W.Close()
	if rest, code := s.end(t); rest != "" || code != 0 {
		t.Errorf("exit %d, in clear %q", code, rest)
	}
}

// TestNoTLS: S29. Where TLS does not begin, nothing more is said, and nobody is
// let in in clear.
func TestNoTLS(t *testing.T) {
	for _, c := range []struct {
		reason string
		env    []string // in place of the helper's
		fail   func(*proctest.Helper)
		rest   string
	}{
		{"the handshake failed", nil, func(h *proctest.Helper) { h.Ctl.Close() }, ""},
		{"the helper died", nil, func(h *proctest.Helper) { io.WriteString(h.Ctl, "SSL_PROTO"); h.Ctl.Close() }, ""},
		{"garbage", nil, func(h *proctest.Helper) { io.WriteString(h.Ctl, strings.Repeat("x", 70000)) }, ""},
		{"closed descriptors", []string{"SSLCTLFD=13", "SSLREADFD=14", "SSLWRITEFD=15"}, nil, ""},
		{"no numbers", []string{"SSLCTLFD=x", "SSLREADFD=4", "SSLWRITEFD=5"}, nil, "454 authup TLS temporarily not available (#5.7.3)\r\n"},
		{"zero", []string{"SSLCTLFD=0", "SSLREADFD=0", "SSLWRITEFD=0"}, nil, "454 authup TLS temporarily not available (#5.7.3)\r\n"},
		{"none", []string{}, nil, "454 authup TLS temporarily not available (#5.7.3)\r\n"},
	} {
		p := settle(t)
		h := proctest.NewHelper(t)
		if c.env != nil {
			h.Env = c.env
		}
		s := p.begin(t, append(h.Env, "UCSPITLS=!"), h.Files, "authup", "smtp", "checkpassword", "server", "235 ok")
		h.Given()
		send(s, "STARTTLS")
		expect(t, s, "220 me.example ESMTP", "220 Ready to start TLS (#5.7.0)")
		if c.fail != nil {
			h.Asked(t)
			c.fail(h)
		}
		send(s, "AUTH PLAIN "+plain("u", "p")) // fails, or is not read
		b, err := io.ReadAll(s)
		if s.cmd.Wait(); string(b) != c.rest || s.cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: exit %d, %q, %v\n%s", c.reason, s.cmd.ProcessState.ExitCode(), b, err, s.log.String())
		}
		if _, err := os.Stat(p.saw); err == nil {
			t.Errorf("%s: checkpassword was run", c.reason)
		}
	}
}
