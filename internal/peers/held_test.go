package peers

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// trust is how a client believes m.
func (m *mx) trust() *tls.Config {
	m.t.Helper()
	ca, err := os.ReadFile(m.ca.File)
	if err != nil {
		m.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &tls.Config{ServerName: mxName, RootCAs: pool}
}

// ours are the programs of the inbound half, by the names that processes show.
func ours() []string {
	return []string{"ucspi-tlsd", "ucspi-tlsd-io", "qmail-smtpd", "qmail-authup", "qmail-ofmipd", "checkpassword", "checknotroot"}
}

// nobodyLeft waits until no process of ours is there: if one stays, the test fails.
func (m *mx) nobodyLeft() {
	m.t.Helper()
	left := map[string]map[int]int{}
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		clear(left)
		for _, p := range ours() {
			if o := owners(m.t, p); len(o) > 0 {
				left[p] = o
			}
		}
		if len(left) == 0 {
			return
		}
	}
	m.t.Errorf("left behind: %v\n%s", left, m.log())
}

// share adds up what processes of a program have for themselves, and their share of the rest (PSS), in kB.
func share(t *testing.T, program string) (n, kB int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, err := os.ReadFile(f)
		if err != nil || strings.TrimSpace(string(name)) != program {
			continue
		}
		if size := pss(filepath.Dir(f)); size > 0 {
			n, kB = n+1, kB+size
		}
	}
	return n, kB
}

// sessions at once is what a server for port 25 must hold.
const sessions = 200

// All sessions are held at once, half of them under TLS first and then all, and none is refused; then each sends a
// message, and nothing is left. PEERS_HOLD, a duration, says for how long they are held; otherwise it is no longer than
// it takes to look.
func TestHeldSessions(t *testing.T) {
	hold, _ := time.ParseDuration(os.Getenv("PEERS_HOLD"))
	m := newMX(t)
	box := directory(t, "box")
	if err := os.Chown(box, account(t, "qmaild"), -1); err != nil {
		t.Fatal(err)
	}
	queue := filepath.Join(directory(t, "queue"), "queue")
	if err := os.WriteFile(queue, []byte("#!/bin/sh\ncat >/dev/null && exec cat <&1 >"+box+"/$$\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	m.env = append(m.env, "QMAILQUEUE="+queue)
	m.serve("25", "UCSPITLS=", "ucspi-tlsd", SetUIDGID(t), "qmaild", "qmail-smtpd")
	trust := m.trust()
	clients := make([]*smtp.Client, sessions)
	each := func(what string, do func(i int) error) {
		t.Helper()
		began := time.Now()
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() {
				if err := do(i); err != nil {
					t.Errorf("%s, session %d: %v", what, i, err)
				}
			})
		}
		all.Wait()
		if t.Failed() {
			t.Fatal(m.log())
		}
		t.Logf("%s: %d sessions in %v", what, sessions, time.Since(began).Round(time.Millisecond))
	}
	report := func(when string) {
		for _, p := range ours()[:3] {
			if n, kB := share(t, p); n > 0 {
				t.Logf("%s: %d %s, %d kB (PSS), %d kB each", when, n, p, kB, kB/n)
			}
		}
	}
	each("greeting", func(i int) (err error) {
		clients[i], err = smtp.Dial(mxAddr + ":25")
		return err
	})
	report("in clear")
	each("STARTTLS", func(i int) error { return clients[i].StartTLS(trust) })
	report("under TLS")
	if hold > 0 {
		time.Sleep(hold)
		report(fmt.Sprint("after ", hold))
	}
	for _, program := range []string{"qmail-smtpd", "ucspi-tlsd-io"} {
		n, _ := share(t, program) // at first with that of the call that looked whether there is a server
		for limit := time.Now().Add(patience); n != sessions && time.Now().Before(limit); n, _ = share(t, program) {
			time.Sleep(5 * time.Millisecond)
		}
		if n != sessions {
			t.Errorf("%d processes of %s", n, program)
		}
	}
	each("a message", func(i int) error {
		c := clients[i]
		if err := c.Mail("me@example.org"); err != nil {
			return err
		}
		if err := c.Rcpt(fmt.Sprintf("u%d@example.net", i)); err != nil {
			return err
		}
		w, err := c.Data()
		if err != nil {
			return err
		}
		if _, err := w.Write([]byte("Subject: hello\r\n\r\nbody\r\n")); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		return c.Quit()
	})
	m.nobodyLeft()
	files, err := filepath.Glob(box + "/*")
	if err != nil || len(files) != sessions {
		t.Errorf("%d messages, %v", len(files), err)
	}
	rcpts := map[string]bool{}
	for _, f := range files {
		envelope, err := os.ReadFile(f)
		_, to, ok := strings.Cut(string(envelope), "\x00T")
		if err != nil || !ok || !strings.HasSuffix(to, "@example.net\x00\x00") || rcpts[to] {
			t.Errorf("%q, %v", envelope, err)
		}
		rcpts[to] = true
	}
}
