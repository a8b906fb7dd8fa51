package engine

import (
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/sink"
	"postrider/internal/smtptest"
	"postrider/internal/spawn"
)

// world is a qmail home, an engine for it, and servers on loopback.
type world struct {
	t      *testing.T
	home   string
	engine *Engine
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, home: t.TempDir()}
	for _, d := range []string{"control", "queue/mess/0"} {
		if err := os.MkdirAll(filepath.Join(w.home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.control("me", "engine.example\n")
	w.control("timeoutremote", "60\n")
	w.control("concurrencyremote", "255\n")
	w.engine = New(w.home, 255)
	t.Cleanup(w.engine.Close)
	return w
}

func (w *world) control(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.home, "control", name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) server(c sink.Config) (*sink.Server, int) {
	w.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	c.Keep = true
	s := sink.Serve(l, c)
	w.t.Cleanup(s.Close)
	return s, l.Addr().(*net.TCPAddr).Port
}

func (w *world) route(domain string, port int) string {
	return fmt.Sprintf("%s:[127.0.0.1]:%d\n", domain, port)
}

// delivery is a command of qmail-send's, its message opened.
func (w *world) delivery(id, sender, recipient string) spawn.Delivery {
	f, err := os.CreateTemp(w.home, "mess")
	if err != nil {
		w.t.Error(err)
	}
	fmt.Fprintf(f, "Subject: %s\n\nbody of %s\n", id, id)
	f.Seek(0, 0)
	_, host, _ := strings.Cut(recipient, "@")
	return spawn.Delivery{MessID: id, Sender: sender, Recipient: recipient, Host: host, Message: f}
}

// run runs a delivery to its end.
func (w *world) run(d spawn.Delivery) string {
	defer d.Message.Close()
	return string(w.engine.Deliver(w.t.Context(), d))
}

func (w *world) deliver(id, sender, recipient string) string {
	return w.run(w.delivery(id, sender, recipient))
}

// together runs deliveries of one message side by side, in one group: on a busy
// machine they come one by one.
func (w *world) together(id, sender string, recipients ...string) []string {
	w.engine.groups.linger = time.Minute
	defer func() { w.engine.groups.linger = linger }()
	lines := make([]string, len(recipients))
	commands := make([]spawn.Delivery, len(recipients))
	for i, r := range recipients {
		commands[i] = w.delivery(id, sender, r)
	}
	var all sync.WaitGroup
	for i, d := range commands {
		all.Go(func() { lines[i] = w.run(d) })
	}
	w.engine.groups.complete(len(recipients))
	all.Wait()
	return lines
}

// complete waits until so many recipients are in one group, and seals it.
func (gs *groups) complete(n int) {
	for done := false; !done; runtime.Gosched() {
		gs.mu.Lock()
		for _, g := range gs.open {
			if done = len(g.envelope.Rcpts) == n; done {
				g.shut()
			}
		}
		gs.mu.Unlock()
	}
}

func accepted(lines ...string) bool {
	return !slices.ContainsFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "K127.0.0.1 accepted message.\n") })
}

// TestOneTransaction: recipients of one message at one host go together.
func TestOneTransaction(t *testing.T) {
	w := newWorld(t)
	s, port := w.server(sink.Config{})
	w.control("smtproutes", w.route("a.example", port))
	lines := w.together("0/1", "me@engine.example", "r1@a.example", "r2@a.example", "r3@a.example", "r4@a.example", "r5@a.example")
	if !accepted(lines...) {
		t.Errorf("reports: %q", lines)
	}
	m := s.Messages()
	if len(m) != 1 || len(m[0].To) != 5 {
		t.Errorf("transactions: %+v", m)
	}
}

// TestVERP: senders that differ never share a transaction, nor do messages.
func TestVERP(t *testing.T) {
	w := newWorld(t)
	s, port := w.server(sink.Config{})
	w.control("smtproutes", w.route("a.example", port))
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			if l := w.deliver("0/1", fmt.Sprintf("list-%d@engine.example", i), "r@a.example"); !accepted(l) {
				t.Error(l)
			}
		})
		all.Go(func() {
			if l := w.deliver(fmt.Sprintf("0/%d", 10+i), "me@engine.example", "r@a.example"); !accepted(l) {
				t.Error(l)
			}
		})
	}
	all.Wait()
	if m := s.Messages(); len(m) != 10 {
		t.Errorf("%d transactions, want 10", len(m))
	}
}

// TestReuse: message after message over one connection, until it has had enough.
func TestReuse(t *testing.T) {
	w := newWorld(t)
	s, port := w.server(sink.Config{})
	w.control("smtproutes", w.route("a.example", port))
	for i := range maxTransactions + 1 {
		if l := w.deliver(fmt.Sprintf("0/%d", i), "me@engine.example", "r@a.example"); !accepted(l) {
			t.Fatal(l)
		}
	}
	if n := s.Sessions.Load(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
	if m := s.Messages(); len(m) != maxTransactions+1 {
		t.Errorf("%d messages", len(m))
	}
}

// TestRefusedRecipients: each slot hears of its own recipient, and the
// conversation goes on behind a transaction that nobody was accepted in.
func TestRefusedRecipients(t *testing.T) {
	w := newWorld(t)
	port, server := scripted(t, map[string]string{"bad@a.example": "550 no such user", "later@a.example": "450 busy"})
	w.control("smtproutes", w.route("a.example", port))
	lines := w.together("0/1", "me@engine.example", "good@a.example", "bad@a.example", "later@a.example")
	for i, want := range []string{"K127.0.0.1 accepted", "D127.0.0.1 does not like recipient.\nRemote host said: 550 no such user\n", "Z127.0.0.1 does not like recipient.\nRemote host said: 450 busy\n"} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("%d: %q, want %q", i, lines[i], want)
		}
	}
	if l := w.deliver("0/2", "me@engine.example", "bad@a.example"); !strings.HasPrefix(l, "D127.0.0.1 does not like recipient.") {
		t.Error(l)
	}
	if l := w.deliver("0/3", "me@engine.example", "good@a.example"); !accepted(l) {
		t.Error(l)
	}
	if server.sessions() != 1 {
		t.Errorf("%d sessions, want 1", server.sessions())
	}
}

// TestStale: a server that leaves while the conversation waits costs nothing
// but a new connection.
func TestStale(t *testing.T) {
	w := newWorld(t)
	port, server := scripted(t, nil)
	server.leaves = true
	w.control("smtproutes", w.route("a.example", port))
	for i := range 5 {
		if l := w.deliver(fmt.Sprintf("0/%d", i), "me@engine.example", "r@a.example"); !accepted(l) {
			t.Error(l)
		}
	}
	if server.taken() != 5 {
		t.Errorf("taken %d times, want 5", server.taken())
	}
}

// TestReload: a changed control file counts for the next delivery.
func TestReload(t *testing.T) {
	w := newWorld(t)
	a, pa := w.server(sink.Config{})
	b, pb := w.server(sink.Config{})
	w.control("smtproutes", w.route("a.example", pa))
	if l := w.deliver("0/1", "me@engine.example", "r@a.example"); !accepted(l) {
		t.Error(l)
	}
	w.control("smtproutes", w.route("a.example", pb))
	w.control("helohost", "new.example\n")
	if l := w.deliver("0/2", "me@engine.example", "r@a.example"); !accepted(l) {
		t.Error(l)
	}
	if a.Taken.Load() != 1 || b.Taken.Load() != 1 {
		t.Errorf("taken: %d and %d", a.Taken.Load(), b.Taken.Load())
	}
	w.control("tlsstrictness", "9\n")
	if l := w.deliver("0/3", "me@engine.example", "r@a.example"); !strings.HasPrefix(l, "ZUnable to read control files. (#4.3.0)\ncontrol/tlsstrictness") {
		t.Error(l)
	}
}

// TestForget: Reload has files read anew that seem to be as they were.
func TestForget(t *testing.T) {
	w := newWorld(t)
	before, err := w.engine.files.current()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := w.engine.files.current(); err != nil || again != before {
		t.Errorf("read anew for nothing (%v)", err)
	}
	w.engine.Reload()
	if after, err := w.engine.files.current(); err != nil || after == before {
		t.Errorf("not read anew (%v)", err)
	}
}

// TestNothingIsLeft: when all is done and the idle time is over, so is every
// goroutine and connection.
func TestNothingIsLeft(t *testing.T) {
	before := runtime.NumGoroutine()
	w := newWorld(t)
	s, port := w.server(sink.Config{})
	w.control("smtproutes", w.route("a.example", port)+w.route("b.example", port))
	var all sync.WaitGroup
	for i := range 200 {
		all.Go(func() {
			domain := []string{"a.example", "b.example"}[i%2]
			if l := w.deliver(fmt.Sprintf("0/%d", i/4), "me@engine.example", fmt.Sprintf("r%d@%s", i, domain)); !accepted(l) {
				t.Error(l)
			}
		})
	}
	all.Wait()
	rcpts := 0
	for _, m := range s.Messages() {
		rcpts += len(m.To)
	}
	if rcpts != 200 {
		t.Errorf("%d recipients taken, want 200", rcpts)
	}
	w.engine.Close()
	s.Close()
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, %d before", n, before)
	}
}

// TestTLS: a conversation under TLS is kept as well, and never serves mail that
// must go under another policy.
func TestTLS(t *testing.T) {
	w := newWorld(t)
	s, port := w.server(sink.Config{TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}})
	w.control("smtproutes", w.route("a.example", port))
	w.control("trustanchors", "/nonexistent\n") // opportunistic TLS never reads them
	for i := range 3 {
		l := w.deliver(fmt.Sprintf("0/%d", i), "me@engine.example", "r@a.example")
		if !accepted(l) || !strings.Contains(l, "\nTLS: TLSv1.3 ") {
			t.Error(l)
		}
	}
	if n := s.Sessions.Load(); n != 1 {
		t.Errorf("%d sessions, want 1", n)
	}
	// The same address, but TLS has been turned off.
	w.control("trustanchors", "")
	if l := w.deliver("0/9", "me@engine.example", "r@a.example"); !accepted(l) || strings.Contains(l, "TLS:") {
		t.Error(l)
	}
	if n := s.Sessions.Load(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}
