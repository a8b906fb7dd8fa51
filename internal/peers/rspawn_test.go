package peers

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/sendtest"
)

var soak = flag.Bool("soak", false, "deliver as much as make soak asks for")

// TestRspawn gives Postfix messages for five recipients each through the built
// qmail-rspawn. Each copy must arrive once and whole, and nearly all messages in
// one transaction: how many of their recipients are gathered depends on when
// slots are free.
func TestRspawn(t *testing.T) {
	messages := 200
	if *soak {
		messages = 2000
	}
	t.Run("in clear", func(t *testing.T) { gathered(t, messages, ServerConfig{Listen: where}, routed) })
	t.Run("under TLS", func(t *testing.T) {
		ca := NewAuthority(t)
		gathered(t, messages, ServerConfig{Listen: where, Cert: ca.Issue(t, "mx.example.net")}, routed.with("trustanchors", ca.File))
	})
}

func gathered(t *testing.T, messages int, c ServerConfig, files control) {
	const rcpts = 5
	p := Postfix(t, c)
	home := files.home(t)
	texts := make([]string, messages)
	for i := range texts {
		texts[i] = fmt.Sprintf("Subject: %d\n\n", i) + strings.Repeat("a line of many\n.\n..\n", i%300) + "the end\n"
		file := filepath.Join(home, fmt.Sprintf("queue/mess/%d/%d", i%23, i))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		write(t, file, texts[i])
	}
	s := rspawn(t, home)
	for i := range texts {
		for r := range rcpts {
			err := s.Order(fmt.Sprintf("%d/%d", i%23, i), "me@example.org", fmt.Sprintf("m%d-%d@example.net", i, r), func(line string) {
				reported(t, line, files["trustanchors"] != "")
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.End(); err != nil {
		t.Fatal(err)
	}
	copies, transactions := map[string]int{}, map[string]bool{}
	for _, m := range p.Wait(t, rcpts*messages) {
		copies[m.Recipient]++
		var i, r int
		if n, _ := fmt.Sscanf(m.Recipient, "m%d-%d@example.net", &i, &r); n != 2 || m.Text != texts[i] || m.Sender != "me@example.org" {
			t.Errorf("%s from %s has %d bytes: %.50q", m.Recipient, m.Sender, len(m.Text), m.Text)
		}
		_, id, _ := strings.Cut(m.Trace, " id ")
		id, _, _ = strings.Cut(id, "\n")
		transactions[id] = true
	}
	for i := range texts {
		for r := range rcpts {
			if rcpt := fmt.Sprintf("m%d-%d@example.net", i, r); copies[rcpt] != 1 {
				t.Errorf("%s has %d copies", rcpt, copies[rcpt])
			}
		}
	}
	t.Logf("%d messages to %d recipients each in %d transactions over %d connections", messages, rcpts, len(transactions), strings.Count(p.Log(), ": connect from "))
	if n := len(transactions); n < messages || n > messages*5/4 {
		t.Errorf("%d transactions for %d messages", n, messages)
	}
}

func reported(t *testing.T, line string, secure bool) {
	if !strings.HasPrefix(line, "K192.0.2.") || strings.Contains(line, "\nTLS: ") != secure {
		t.Errorf("reported %q", line)
	}
}

// rspawn starts the built qmail-rspawn.
func rspawn(t testing.TB, home string) *sendtest.Sender {
	t.Helper()
	cmd := exec.Command(program(t, "qmail-rspawn"))
	cmd.Env = []string{"QMAILHOME=" + home, "DNSCACHEIP=127.0.0.1", "PATH=/usr/bin:/bin"}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	s, err := sendtest.New(in, out)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
