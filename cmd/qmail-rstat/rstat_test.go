package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/observe/state"
)

// sample is an engine's state, n deliveries on.
func sample(n uint64) state.State {
	now := time.Unix(1_800_000_000, 0).Add(time.Duration(n) * time.Second)
	since, probe := now.Add(-5*time.Minute), now.Add(30*time.Second)
	return state.State{
		Time: now, Started: now.Add(-2 * time.Hour), PID: 4711,
		Deliveries: state.Deliveries{Delivered: 100 + n, Deferred: 2, Bounced: 1, Causes: map[string]uint64{"accepted": 100 + n, "no_such_host": 1, "no_connection": 2}},
		Slots:      state.Slots{Limit: 255, Busy: 1, Groups: 1, Open: []state.Slot{{Number: 9, Message: "1/25", Host: "a.example", Phase: "talking", Seconds: 3.4}}},
		Destinations: state.Destinations{Known: 45, Busiest: []state.Destination{
			{Name: "mx.example.net", Window: 20, Running: 12, Waiting: 3}, {Name: "dead.example", Window: 1, Broken: &since, Probe: &probe}}},
		Connections: state.Connections{Made: 10, Failed: 1, Reused: 90, Idle: 4, Peers: []state.Peer{{Address: "192.0.2.1:25", Idle: 4}}},
		Caches:      state.Caches{DNS: state.DNS{Entries: 12, Bytes: 2000, Hits: 3, Misses: 1}},
	}
}

const tableText = `engine       process 4711, up 2h0m0s
deliveries   100 delivered, 2 deferred, 1 bounced
slots        1 of 255 busy, 1 groups open
connections  10 made, 1 failed, 90 reused, 4 idle
dns cache    12 entries, 2 KB, 75% of look-ups known
trouble      2 no_connection, 1 no_such_host

DESTINATION     RUNNING  WAITING  WINDOW
mx.example.net       12        3      20
dead.example          0        0       1  silent for 5m0s, tried in 30s
and 43 more

HOST       MESSAGE  PHASE    SLOT  FOR
a.example  1/25     talking     9   3s

CONNECTED TO  IDLE
192.0.2.1:25     4
`

// serve answers at a socket what answer says to the n-th question, from 0.
func serve(t *testing.T, answer func(n uint64, w http.ResponseWriter)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var n atomic.Uint64
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/state" {
			t.Error(r.URL)
		}
		answer(n.Add(1)-1, w)
	})}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return path
}

func samples(n uint64, w http.ResponseWriter) { json.NewEncoder(w).Encode(sample(n)) }

// try runs the program; a terminal has rows.
func try(ctx context.Context, path string, rows int, env map[string]string, args ...string) (code int, out, errs string) {
	var o, e strings.Builder
	code = run(ctx, args, path, console{&o, &e, func() (int, int) { return rows, 200 }, func(k string) string { return env[k] }})
	return code, o.String(), e.String()
}

func TestPlain(t *testing.T) {
	path := serve(t, samples)
	if code, out, errs := try(t.Context(), path, 0, nil); code != 0 || out != tableText || errs != "" {
		t.Errorf("%d %s\n%s", code, errs, out)
	}
	for reason, env := range map[string]map[string]string{"NO_COLOR": {"NO_COLOR": "1"}, "dumb": {"TERM": "dumb"}} {
		if code, out, _ := try(t.Context(), path, 24, env, "-once"); code != 0 || strings.Contains(out, "\x1b") {
			t.Errorf("%s: %d %q", reason, code, out)
		}
	}
	if code, out, _ := try(t.Context(), path, 24, nil, "-once"); code != 0 || !strings.Contains(out, red+"dead.example") || strings.Contains(out, "\x1b[H") {
		t.Errorf("%d %q", code, out)
	}
}

func TestJSON(t *testing.T) {
	path := serve(t, samples)
	want, err := json.Marshal(sample(0))
	if err != nil {
		t.Fatal(err)
	}
	if code, out, _ := try(t.Context(), path, 24, nil, "-json"); code != 0 || out != string(want)+"\n" {
		t.Errorf("%d %q", code, out)
	}
}

// TestLive: a terminal is redrawn until we are interrupted, also while there is
// no answer.
func TestLive(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	path := serve(t, func(n uint64, w http.ResponseWriter) {
		switch n {
		case 1:
			http.Error(w, "no", http.StatusInternalServerError)
		case 3:
			stop()
		}
		samples(n, w)
	})
	code, out, errs := try(ctx, path, 6, nil, "0.1")
	if code != 0 || errs != "" || strings.Count(out, "\x1b[H") != 3 || !strings.HasSuffix(out, "\x1b[?25h") {
		t.Errorf("%d %s %q", code, errs, out)
	}
	for _, want := range []string{"1.0 a second", "500 Internal"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q: %q", want, out)
		}
	}
	if strings.Contains(out, "DESTINATION") {
		t.Error("more than there is room for")
	}
}

func TestRepeat(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	path := serve(t, func(n uint64, w http.ResponseWriter) {
		if n == 2 {
			stop()
		}
		samples(n, w)
	})
	if code, out, _ := try(ctx, path, 0, nil, "0.1"); code != 0 || strings.Count(out, "engine ") != 2 || strings.Contains(out, "\x1b") {
		t.Errorf("%d %q", code, out)
	}
}

func TestTrouble(t *testing.T) {
	gone := filepath.Join(t.TempDir(), "engine.sock")
	l, err := net.Listen("unix", gone)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for reason, c := range map[string]struct {
		path string
		code int
		says string
	}{
		"never begun": {filepath.Join(t.TempDir(), "engine.sock"), 1, "no engine"},
		"killed":      {gone, 1, "no engine"},
		"an error":    {serve(t, func(_ uint64, w http.ResponseWriter) { w.WriteHeader(500) }), 111, "500"},
		"no JSON":     {serve(t, func(_ uint64, w http.ResponseWriter) { w.Write([]byte("{")) }), 111, "JSON"},
	} {
		code, out, errs := try(t.Context(), c.path, 24, nil)
		if code != c.code || strings.Contains(out, "engine") || !strings.HasPrefix(errs, "qmail-rstat: "+c.path+": ") || !strings.Contains(errs, c.says) {
			t.Errorf("%s: %d %q %q", reason, code, out, errs)
		}
	}
	if os.Getuid() != 0 { // root may open everything
		path := serve(t, samples)
		if err := os.Chmod(path, 0); err != nil {
			t.Fatal(err)
		}
		if code, _, errs := try(t.Context(), path, 0, nil); code != 111 || !strings.Contains(errs, "qmailr") {
			t.Errorf("%d %q", code, errs)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-help"}, {"--help"}, {"-h"}} {
		if code, out, errs := try(t.Context(), "none", 0, nil, args...); code != 0 || out != usage || errs != "" {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
	for _, args := range [][]string{{"-x"}, {"0"}, {"-once", "x"}, {"NaN"}, {"1e9"}, {"1", "2"}} {
		if code, out, errs := try(t.Context(), "none", 0, nil, args...); code != 100 || out != "" || !strings.HasSuffix(errs, usage) {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{-time.Second: "0s", 1900 * time.Millisecond: "1s", 90 * time.Minute: "1h30m0s", 100 * time.Hour: "4d4h"} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
