package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/sink"
)

// TestView: what deliveries leave to be seen, and that no password is in it.
func TestView(t *testing.T) {
	w := newWorld(t)
	_, port := w.server(sink.Config{})
	w.control("smtproutes", w.route("a.example", port)+fmt.Sprintf("b.example:[127.0.0.1]:%d|account|hunter2\n", port))
	if l := w.together("0/1", "me@engine.example", "r1@a.example", "r2@a.example"); !accepted(l...) {
		t.Error(l)
	}
	if l := w.deliver("0/2", "me@engine.example", "r3@a.example"); !accepted(l) {
		t.Error(l)
	}
	if l := w.deliver("0/3", "me@engine.example", "r4@b.example"); !strings.HasPrefix(l, "Z") {
		t.Error(l)
	}
	s := w.engine.Observer().State()
	if d := s.Deliveries; d.Delivered != 3 || d.Deferred != 1 || d.Causes["accepted"] != 3 || d.Causes["auth_impossible"] != 1 {
		t.Errorf("deliveries: %+v", d)
	}
	if s.Slots.Limit != 255 || s.Slots.Busy != 0 || s.Slots.Groups != 0 {
		t.Errorf("slots: %+v", s.Slots)
	}
	if d := s.Destinations; d.Known != 2 || len(d.Busiest) != 2 || d.Busiest[0].Name != "127.0.0.1" || d.Busiest[0].ID == d.Busiest[1].ID {
		t.Errorf("destinations: %+v", d)
	}
	if c := s.Connections; c.Made != 2 || c.Reused != 1 || c.Idle != 1 || len(c.Peers) != 1 || c.Peers[0].Address != fmt.Sprintf("127.0.0.1:%d", port) {
		t.Errorf("connections: %+v", c)
	}
	text, err := json.Marshal(s)
	if err != nil || strings.Contains(string(text), "hunter2") || strings.Contains(string(text), "account") {
		t.Errorf("%s, %v", text, err)
	}
}
