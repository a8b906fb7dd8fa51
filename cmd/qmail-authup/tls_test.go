package main

import (
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// helper is a UCSPI-TLS helper without TLS: what it says under TLS is clear.
type helper struct {
	ctl   net.Conn
	r, w  *os.File   // what the program says, what it hears
	files []*os.File // the program's, from descriptor 3 on
	env   []string
}

func newHelper(t *testing.T, level string) *helper {
	t.Helper()
	ctl, theirs := pair(t)
	ctl.SetDeadline(time.Now().Add(patience))
	downR, downW := pipe(t)
	upR, upW := pipe(t)
	return &helper{ctl, upR, downW, []*os.File{theirs, downR, upW}, []string{"UCSPITLS=" + level, "SSLCTLFD=3", "SSLREADFD=4", "SSLWRITEFD=5"}}
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// given closes what the program has now.
func (h *helper) given() {
	for _, f := range h.files {
		f.Close()
	}
}

// asked waits for the program's Y.
func (h *helper) asked(t *testing.T) {
	t.Helper()
	b := make([]byte, 1)
	if _, err := io.ReadFull(h.ctl, b); err != nil || b[0] != 'Y' {
		t.Fatalf("the helper is asked %q, %v", b, err)
	}
}

// TestSTARTTLS: S4, S5. What came in clear behind STARTTLS is gone, in TLS
// everything begins anew, and the program behind checkpassword has the records.
func TestSTARTTLS(t *testing.T) {
	for _, block := range []string{
		"SSL_PROTOCOL=TLSv1.3\x00SSL_CIPHER=TLS_AES_128_GCM_SHA256\x00SSL_TLS_SNI_SERVERNAME\x00PATH=/evil\x00\x00",
		"SSL_PROTOCOL=TLSv1.3\x00SSL_SESSION_ID=\x00SSL_CIPHER=TLS_AES_128_GCM_SHA256\x00\x00",
	} {
		p := settle(t)
		h := newHelper(t, "!")
		s := p.begin(t, append(h.env, "SSL_TLS_SNI_SERVERNAME=stale"), h.files, "authup", "smtp", "checkpassword", "server", "235 ok")
		h.given()
		expect(t, s, "220 me.example ESMTP")
		send(s, "EHLO a")
		expect(t, s, "250-me.example", "250-STARTTLS", "250-AUTH LOGIN PLAIN", "250-PIPELINING", "250 8BITMIME")
		send(s, "AUTH PLAIN "+plain("u", "p"))
		expect(t, s, "530 authup Must start TLS first (#5.7.0)")
		send(s, "STARTTLS", "AUTH PLAIN "+plain("evil", "x"), "NOOP evil")
		expect(t, s, "220 Ready to start TLS (#5.7.0)")
		h.asked(t)
		io.WriteString(h.ctl, block[:7])
		io.WriteString(h.ctl, block[7:])
		send(h.w, "EHLO b")
		expect(t, h.r, "250-me.example", "250-AUTH LOGIN PLAIN", "250-PIPELINING", "250 8BITMIME")
		send(h.w, "STARTTLS")
		expect(t, h.r, "502 unimplemented (#5.5.1)")
		send(h.w, "AUTH PLAIN "+plain("u", "p"), "ENV SSL_CIPHER", "ENV SSL_TLS_SNI_SERVERNAME", "ENV UCSPITLS", "FACTS", "EXIT 7")
		sni := "unset"
		if !strings.Contains(block, "SNI") {
			sni = `"stale"`
		}
		expect(t, h.r, "235 ok", `"TLS_AES_128_GCM_SHA256"`, sni, "unset")
		if facts := hear(t, h.r); !strings.HasPrefix(facts, "fds=0,1,2 ") || !strings.HasSuffix(facts, " cwd=/ user=u") {
			t.Error(facts)
		}
		if rest, code := s.end(t); rest != "" || code != 7 {
			t.Errorf("exit %d, in clear %q", code, rest)
		}
		if saw, _ := os.ReadFile(p.saw); strings.Contains(string(saw), "evil") {
			t.Errorf("checkpassword saw %s", saw)
		}
		if n, err := h.ctl.Read(make([]byte, 1)); n != 0 || err != io.EOF {
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
	h := newHelper(t, "")
	s := p.begin(t, h.env, h.files, "authup", "pop3", "checkpassword", "server", "+OK ")
	h.given()
	hear(t, s)
	send(s, "USER evil", "CAPA")
	expect(t, s, "+OK ", "+OK capability list follows", "STLS", "USER", "TOP", "UIDL", ".")
	send(s, "STLS", "USER evil", "PASS evil")
	expect(t, s, "+OK starting TLS negotiation")
	h.asked(t)
	io.WriteString(h.ctl, "SSL_PROTOCOL=TLSv1.2\x00\x00")
	send(h.w, "PASS p", "STLS", "CAPA", "USER u", "PASS p", "FACTS")
	expect(t, h.r, "-ERR authup USER first", "-ERR STLS not available", "+OK capability list follows", "USER", "TOP", "UIDL", ".", "+OK ", "+OK ")
	if facts := hear(t, h.r); !strings.HasPrefix(facts, "fds=0,1,2 ") {
		t.Error(facts)
	}
	h.w.Close()
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
		fail   func(*helper)
		rest   string
	}{
		{"the handshake failed", nil, func(h *helper) { h.ctl.Close() }, ""},
		{"the helper died", nil, func(h *helper) { io.WriteString(h.ctl, "SSL_PROTO"); h.ctl.Close() }, ""},
		{"garbage", nil, func(h *helper) { io.WriteString(h.ctl, strings.Repeat("x", 70000)) }, ""},
		{"closed descriptors", []string{"UCSPITLS=!", "SSLCTLFD=13", "SSLREADFD=14", "SSLWRITEFD=15"}, nil, ""},
		{"no numbers", []string{"UCSPITLS=!", "SSLCTLFD=x", "SSLREADFD=4", "SSLWRITEFD=5"}, nil, "454 authup TLS temporarily not available (#5.7.3)\r\n"},
		{"zero", []string{"UCSPITLS=!", "SSLCTLFD=0", "SSLREADFD=0", "SSLWRITEFD=0"}, nil, "454 authup TLS temporarily not available (#5.7.3)\r\n"},
		{"none", []string{"UCSPITLS=!"}, nil, "454 authup TLS temporarily not available (#5.7.3)\r\n"},
	} {
		p := settle(t)
		h := newHelper(t, "!")
		if c.env != nil {
			h.env = c.env
		}
		s := p.begin(t, h.env, h.files, "authup", "smtp", "checkpassword", "server", "235 ok")
		h.given()
		send(s, "STARTTLS")
		expect(t, s, "220 me.example ESMTP", "220 Ready to start TLS (#5.7.0)")
		if c.fail != nil {
			h.asked(t)
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
