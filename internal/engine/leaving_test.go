package engine

import (
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/sink"
)

// TestTired: who says 421 to a recipient in a conversation used before has had
// enough of that, and is asked in a fresh one (C87).
func TestTired(t *testing.T) {
	w := newWorld(t)
	port, server := scripted(t, nil)
	server.tires = true
	w.control("smtproutes", w.route("a.example", port))
	for _, id := range []string{"0/1", "0/2", "0/3"} {
		if l := w.deliver(id, "me@engine.example", "r@a.example"); !accepted(l) {
			t.Error(l)
		}
	}
	if server.taken() != 3 || server.sessions() != 3 {
		t.Errorf("taken %d times in %d sessions", server.taken(), server.sessions())
	}
}

// TestLeaving: who says 421 is about to leave (RFC 5321 §3.8), also where he
// takes his time: nothing more is sent that way, lest its fate be unknown.
func TestLeaving(t *testing.T) {
	w := newWorld(t)
	port, server := scripted(t, map[string]string{"later@a.example": "421 not now"})
	w.control("smtproutes", w.route("a.example", port))
	if l := w.deliver("0/1", "me@engine.example", "later@a.example"); !strings.HasPrefix(l, "Z127.0.0.1 does not like recipient.") {
		t.Error(l)
	}
	if l := w.deliver("0/2", "me@engine.example", "r@a.example"); !accepted(l) {
		t.Error(l)
	}
	if n := server.sessions(); n != 2 {
		t.Errorf("%d sessions, want 2", n)
	}
}

// TestOldOverReused: what may have been tried before goes by DATA, also over a
// conversation that has been used for BDAT (C79).
func TestOldOverReused(t *testing.T) {
	w := newWorld(t)
	var mu sync.Mutex
	var heard []string
	s, port := w.server(sink.Config{Chunking: true, Transcript: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		for _, verb := range []string{"BDAT", "DATA"} {
			if line == "> "+verb || strings.HasPrefix(line, "> "+verb+" ") {
				heard = append(heard, verb)
			}
		}
	}})
	w.control("smtproutes", w.route("a.example", port))
	if l := w.deliver("0/1", "me@engine.example", "r@a.example"); !accepted(l) {
		t.Error(l)
	}
	old := w.delivery("0/2", "me@engine.example", "r@a.example")
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old.Message.Name(), hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	if l := w.run(old); !accepted(l) {
		t.Error(l)
	}
	mu.Lock()
	defer mu.Unlock()
	if how := strings.Join(heard, " "); how != "BDAT DATA" || s.Sessions.Load() != 1 {
		t.Errorf("heard %q in %d sessions", how, s.Sessions.Load())
	}
}
