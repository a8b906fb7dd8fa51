package peers

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/spawn"
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
	s := ordered(t, home)
	for i := range texts {
		for r := range rcpts {
			s.order(fmt.Sprintf("%d/%d", i%23, i), fmt.Sprintf("m%d-%d@example.net", i, r))
		}
	}
	for rcpt, line := range s.end() {
		if !strings.HasPrefix(line, "K192.0.2.") || strings.Contains(line, "\nTLS: ") != (files["trustanchors"] != "") {
			t.Errorf("%s: %q", rcpt, line)
		}
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

// orders is a qmail-rspawn under way. Its qmail-send is one goroutine, which
// orders as soon as a slot is free.
type orders struct {
	t     testing.TB
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	free  []byte
	slots map[byte]string   // recipients of those that are not
	said  map[string]string // by recipient
}

func ordered(t testing.TB, home string) *orders {
	t.Helper()
	s := &orders{t: t, cmd: exec.Command(program(t, "qmail-rspawn")), slots: map[byte]string{}, said: map[string]string{}}
	s.cmd.Env = []string{"QMAILHOME=" + home, "DNSCACHEIP=127.0.0.1", "PATH=/usr/bin:/bin"}
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	s.out = bufio.NewReader(out)
	limit, err := s.out.ReadByte()
	if err != nil {
		t.Fatal(err)
	}
	for slot := range limit {
		s.free = append(s.free, slot)
	}
	return s
}

// order orders one delivery of a message from me@example.org.
func (s *orders) order(messid, rcpt string) {
	if len(s.free) == 0 {
		s.hear()
	}
	slot := s.free[0]
	s.free = s.free[1:]
	s.slots[slot] = rcpt
	c := spawn.Command{Slot: slot, MessID: messid, Sender: "me@example.org", Recipient: rcpt}
	if _, err := s.in.Write(c.AppendTo(nil)); err != nil {
		s.t.Fatal(err)
	}
}

// hear hears one report.
func (s *orders) hear() {
	slot, err := s.out.ReadByte()
	if err != nil {
		s.t.Fatal(err)
	}
	line, err := s.out.ReadString(0)
	rcpt, open := s.slots[slot]
	if err != nil || !open {
		s.t.Fatalf("slot %d: %q, %v", slot, line, err)
	}
	delete(s.slots, slot)
	s.free = append(s.free, slot)
	s.said[rcpt] = line
}

// end waits for all that is under way and gives all reports by recipient.
func (s *orders) end() map[string]string {
	for len(s.slots) > 0 {
		s.hear()
	}
	s.in.Close()
	if rest, err := io.ReadAll(s.out); len(rest) > 0 || err != nil {
		s.t.Errorf("left: %q, %v", rest, err)
	}
	if err := s.cmd.Wait(); err != nil {
		s.t.Error(err)
	}
	return s.said
}
