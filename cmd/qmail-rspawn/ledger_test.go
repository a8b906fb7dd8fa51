package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/moody"
	"postrider/internal/sendtest"
	"postrider/internal/smtptest"
	"postrider/internal/spawn"
)

var soak = flag.Bool("soak", false, "deliver as much as make soak asks for")

// TestLedger: the built program's engines are killed at random moments while
// they deliver to unwell servers, several recipients in a transaction and many
// in a conversation, under TLS and in clear. No message is taken twice by one
// order, none is reported as accepted that was not, and none that was taken is
// reported as if it had not been, unless the report leaves it open.
func TestLedger(t *testing.T) {
	const rcpts, domains, limit = 5, 40, 100
	messages := 1500
	if *soak {
		messages = 30000
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := moody.New(moody.Config{Seed: seed, Ill: 20, TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}})
	r := prepare(t, "exit 0")
	if err := os.Mkdir(filepath.Join(r.home, "control"), 0o755); err != nil {
		t.Fatal(err)
	}
	var routes strings.Builder
	for i := range domains {
		port, err := s.Listen()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&routes, "d%d.example:[127.0.0.1]:%d\n", i, port)
	}
	for name, text := range map[string]string{"me": "rig.example\n", "smtproutes": routes.String(), "timeoutremote": "4\n",
		"concurrencyremote": "255\n", "trustanchors": "/nonexistent\n"} { // opportunistic TLS never reads them
		r.file("control/"+name, text, 0o644)
	}
	send, engines := r.besiege(limit)
	reports := make([]string, messages*rcpts)
	name := func(i int) (id, rcpt string) {
		return fmt.Sprintf("1/%d", i/rcpts), fmt.Sprintf("r%d@d%d.example", i, i/rcpts%domains)
	}
	for i := range reports {
		id, rcpt := name(i)
		if i%rcpts == 0 {
			r.message(id, "Subject: "+id+"\n\nbody\n.\n")
		}
		if err := send.Order(id, "me@rig.example", rcpt, func(line string) { reports[i] = line }); err != nil {
			t.Fatal(err)
		}
	}
	if err := send.End(); err != nil {
		t.Fatal(err)
	}
	s.Close()
	tally := map[string]int{}
	for i, line := range reports {
		id, rcpt := name(i)
		if wrong := s.Lie(line, id, rcpt); wrong != "" {
			t.Error(wrong)
		}
		what := line[:1]
		switch {
		case line == "Zqmail-remote crashed.\n":
			what = "killed"
		case strings.Contains(line, "Possible duplicate!"):
			what = "Z?"
		}
		tally[what]++
	}
	c := s.Counts()
	t.Logf("%d engines, reports: %v; servers: %+v", engines(), tally, c)
	if len(c.Wrong) > 0 || c.Reused == 0 || engines() < 10 {
		t.Error("no conversation was used again, hardly a kill, or what no client may say")
	}
	for _, what := range []string{"K", "Z", "D", "Z?", "killed"} {
		if tally[what] == 0 {
			t.Errorf("no report of the kind %s", what)
		}
	}
}

// mortal is what an engine says, and its end a moment after it has spoken so
// often: what it has achieved by then does not depend on the machine.
type mortal struct {
	io.Reader
	words int
	end   func()
}

func (m *mortal) Read(b []byte) (int, error) {
	n, err := m.Reader.Read(b)
	if m.words--; m.words == 0 {
		time.AfterFunc(time.Duration(rand.IntN(20))*time.Millisecond, m.end)
	}
	return n, err
}

// besiege runs a front here, whose engines are the built program's, and each is
// killed, some sooner and some later. Engines is how many there have been.
func (r *rig) besiege(limit int) (s *sendtest.Sender, engines func() int) {
	t := r.t
	t.Setenv("QMAILHOME", r.home)
	t.Setenv("QMAILREMOTE", "")
	t.Setenv("QMAILSPAWN", fmt.Sprint(limit))
	in, commands, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reports, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var count int
	var front sync.WaitGroup
	front.Go(func() {
		runtime.LockOSThread() // never unlocked: engines end with this thread
		spawn.Front{Limit: limit, Patience: time.Millisecond, Start: func() (*spawn.Engine, error) {
			e, err := spawn.StartEngine(bin+"/qmail-rspawn", []string{"qmail-rspawn", engineMark})
			if err == nil {
				count++
				e.Reports = &mortal{e.Reports, 1 + rand.IntN(30), e.Kill}
			}
			return e, err
		}}.Run(in, out)
		in.Close()
		out.Close()
	})
	if s, err = sendtest.New(commands, reports); err != nil {
		t.Fatal(err)
	}
	return s, func() int { front.Wait(); reports.Close(); return count }
}
