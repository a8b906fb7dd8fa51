package observe

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fair"
	"postrider/internal/observe/state"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/resolver"
)

// sample is an Observer that has seen some.
func sample() *Observer {
	since := time.Unix(1_700_000_000, 0)
	o := New(func() View {
		return View{Limit: 255, Groups: 2, Gate: fair.State{Slots: 255, Suspects: 1, Destinations: []fair.Destination{
			{Key: "a.example x", Window: 5}, {Key: "b\x1b[2J.example y", Window: 1, BrokenSince: since, BrokenUntil: since.Add(time.Minute)},
			{Key: "c.example z", Window: 20, Running: 3, Waiting: 4},
		}}, Idle: map[netip.AddrPort]int{netip.MustParseAddrPort("192.0.2.1:25"): 3}, DNS: resolver.CacheStats{Entries: 7, Hits: 8}, TLS: TLS{Full: 11, Resumed: 12, Sessions: 6}}
	})
	for _, e := range []struct {
		letter byte
		out    report.Outcome
	}{
		{'K', report.Outcome{Cause: report.Accepted}},
		{'K', report.Outcome{Cause: report.Accepted}},
		{'D', report.Outcome{Cause: report.Accepted, Rcpts: []smtp.Reply{{Code: 550, Lines: []string{"550 hunter2"}}}}},
		{'Z', report.Outcome{Cause: report.NoConnection}},
	} {
		o.Begin(Order{Slot: 3, MessID: "1/24", Host: "a.example"}).End(&e.out, e.letter)
	}
	o.Begin(Order{Slot: 9, MessID: "1/25", Host: "a\n.example", Sender: "secret", Recipient: "secret"}).Phase(Talking)
	o.Transaction(5)
	o.Dialed(nil)
	o.Dialed(errors.New("no"))
	o.Reused()
	o.Overlapped()
	return o
}

func serve(t *testing.T, o *Observer) (path string, ask func(string) (int, string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "engine.sock")
	stop, err := o.Serve(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	tr := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	t.Cleanup(tr.CloseIdleConnections)
	return path, func(what string) (int, string) {
		t.Helper()
		r, err := (&http.Client{Transport: tr}).Get("http://engine" + what)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
}

func TestMetrics(t *testing.T) {
	_, ask := serve(t, sample())
	code, text := ask("/metrics")
	for _, want := range []string{
		`qmail_remote_deliveries_total{cause="accepted",letter="K"} 2`,
		`qmail_remote_deliveries_total{cause="recipient_refused",letter="D"} 1`,
		`qmail_remote_deliveries_total{cause="no_connection",letter="Z"} 1`,
		"qmail_remote_delivery_seconds_count 4",
		"qmail_remote_transaction_recipients_sum 5",
		"qmail_remote_connections_made_total 1", "qmail_remote_connections_failed_total 1", "qmail_remote_connections_reused_total 1", "qmail_remote_transactions_overlapped_total 1",
		"qmail_remote_connections_idle 3", "qmail_remote_slots 255", "qmail_remote_slots_busy 1", "qmail_remote_groups_open 2",
		"qmail_remote_destinations 3", "qmail_remote_destinations_broken 1", "qmail_remote_destinations_waiting 4",
		"qmail_remote_dns_cache_hits_total 8",
		"qmail_remote_tls_handshakes_full_total 11", "qmail_remote_tls_handshakes_resumed_total 12", "qmail_remote_tls_sessions 6",
		"qmail_remote_log_dropped_total 0", "go_goroutines ",
	} {
		if code != 200 || !strings.Contains(text, "\n"+want) {
			t.Errorf("%d, no %s", code, want)
		}
	}
	if strings.Contains(text, "example") || strings.Contains(text, "secret") || strings.Contains(text, "hunter2") {
		t.Error("names in the metrics")
	}
	for what, want := range map[string]int{"/": 404, "/debug/pprof/": 404} {
		if code, _ := ask(what); code != want {
			t.Errorf("%s: %d", what, code)
		}
	}
}

func TestState(t *testing.T) {
	_, ask := serve(t, sample())
	_, text := ask("/state")
	var s state.State
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	if s.PID != os.Getpid() || s.Deliveries.Delivered != 2 || s.Deliveries.Deferred != 1 || s.Deliveries.Bounced != 1 || s.Deliveries.Causes["accepted"] != 2 {
		t.Errorf("deliveries: %+v", s.Deliveries)
	}
	if len(s.Slots.Open) != 1 || s.Slots.Open[0].Number != 9 || s.Slots.Open[0].Host != "a?.example" || s.Slots.Open[0].Phase != "talking" {
		t.Errorf("slots: %+v", s.Slots)
	}
	d := s.Destinations.Busiest
	if len(d) != 3 || d[0].Name != "c.example" || d[0].ID != "z" || d[1].Name != "b?[2J.example" || d[1].Broken == nil || d[2].Broken != nil {
		t.Errorf("destinations: %+v", d)
	}
	if c := s.Connections; c.Idle != 3 || c.Made != 1 || c.Reused != 1 || len(c.Peers) != 1 || c.Peers[0].Address != "192.0.2.1:25" {
		t.Errorf("connections: %+v", c)
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "hunter2") {
		t.Errorf("said too much: %s", text)
	}
}

// TestBounded: State names no more than Most, whatever there is.
func TestBounded(t *testing.T) {
	o := New(func() View {
		v := View{Gate: fair.State{Destinations: make([]fair.Destination, 5000)}, Idle: map[netip.AddrPort]int{}}
		for i := range uint16(500) {
			v.Idle[netip.AddrPortFrom(netip.IPv6Loopback(), i)] = 1
		}
		return v
	})
	s := o.State()
	if len(s.Destinations.Busiest) != state.Most || s.Destinations.Known != 5000 || len(s.Connections.Peers) != state.Most || s.Connections.Idle != 500 {
		t.Errorf("%d of %d, %d of %d", len(s.Destinations.Busiest), s.Destinations.Known, len(s.Connections.Peers), s.Connections.Idle)
	}
}

// TestBrokenView: an engine that cannot be looked at is alive nevertheless.
func TestBrokenView(t *testing.T) {
	_, ask := serve(t, New(func() View { panic("a bug") }))
	if code, text := ask("/metrics"); code != 200 || !strings.Contains(text, "go_goroutines") {
		t.Errorf("%d %s", code, text)
	}
	o := New(nil)
	o.Begin(Order{}).End(nil, 'K')
}

func TestSocket(t *testing.T) {
	path, _ := serve(t, sample())
	if s, err := os.Lstat(path); err != nil || s.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", s.Mode(), err)
	}
	stop, err := New(nil).Serve(path) // the first is dead, for all it knows
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	for reason, at := range map[string]string{"no directory": "none/engine.sock", "a file": "file", "a path too long": strings.Repeat("x", 200)} {
		at = filepath.Join(filepath.Dir(path), at)
		if reason == "a file" {
			if err := os.WriteFile(at, []byte("mine"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		stop, err := New(nil).Serve(at)
		stop()
		if err == nil {
			t.Errorf("%s: no error", reason)
		}
	}
	if b, err := os.ReadFile(filepath.Join(filepath.Dir(path), "file")); err != nil || string(b) != "mine" {
		t.Errorf("%q, %v", b, err)
	}
}

// TestLaterStays: the end of one engine leaves its successor's socket alone.
func TestLaterStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "engine.sock")
	first, err := sample().Serve(path)
	if err != nil {
		t.Fatal(err)
	}
	second, err := sample().Serve(path)
	if err != nil {
		t.Fatal(err)
	}
	first()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	second()
}

// TestManyAskers: more connections than there is room for get their turn.
func TestManyAskers(t *testing.T) {
	path, ask := serve(t, sample())
	var conns []net.Conn
	for range maxAskers {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	var all sync.WaitGroup
	all.Go(func() {
		if code, _ := ask("/state"); code != 200 {
			t.Error(code)
		}
	})
	for _, c := range conns {
		c.Close()
	}
	all.Wait()
}

// TestCauses: every cause has a name of its own.
func TestCauses(t *testing.T) {
	seen := map[string]report.Cause{}
	for c := report.Accepted; c <= report.RequireTLSFailed; c++ {
		name := causeName(c)
		if before, twice := seen[name]; twice || name == other {
			t.Errorf("cause %d is called %q, as is %d", c, name, before)
		}
		seen[name] = c
	}
}

// stuck is a log that nobody reads.
type stuck struct{ free chan struct{} }

func (s stuck) Write(b []byte) (int, error) { <-s.free; return len(b), nil }

// Simulated time, as the log has a second for its last words.
func TestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text strings.Builder
		o := New(nil)
		stop := o.LogTo(&text)
		end := func(out report.Outcome, letter byte) {
			o.Begin(Order{Slot: 7, MessID: "1/24", Sender: "me@here", Recipient: "you@a.example\n{}", Host: "a.example"}).End(&out, letter)
		}
		end(report.Outcome{}, 'K') // not asked for
		o.Log(true)
		refused := smtp.Reply{Code: 550, Lines: []string{"550 Subject: private"}}
		end(report.Outcome{Host: "192.0.2.1", Detail: "control/authsenders: hunter2", Reply: smtp.Reply{Code: 250},
			Rcpts: []smtp.Reply{refused}, TLS: smtp.Security{Version: "TLSv1.3"}}, 'D')
		o.Log(false)
		end(report.Outcome{}, 'K')
		stop()
		end(report.Outcome{}, 'K') // too late
		var line map[string]any
		if err := json.Unmarshal([]byte(text.String()), &line); err != nil {
			t.Fatalf("%q: %v", text.String(), err)
		}
		for k, want := range map[string]any{"msg": "delivery", "result": "D", "cause": "recipient_refused", "slot": 7.0, "message": "1/24", "from": "me@here",
			"to": "you@a.example?{}", "peer": "192.0.2.1", "code": 550.0, "tls": "TLSv1.3", "doubt": false} {
			if line[k] != want {
				t.Errorf("%s: %v, want %v", k, line[k], want)
			}
		}
		if strings.Contains(text.String(), "private") || strings.Contains(text.String(), "hunter2") {
			t.Error(text.String())
		}
	})
}

// TestLogStuck: deliveries go on when nobody reads the log.
func TestLogStuck(t *testing.T) {
	o, w := New(nil), stuck{make(chan struct{})}
	stop := o.LogTo(w)
	o.Log(true)
	const extra = 50
	for range backlog + extra {
		o.Begin(Order{}).End(&report.Outcome{}, 'K')
	}
	if n := o.counts.dropped.Load(); n < extra-1 || n > extra {
		t.Errorf("%d dropped", n)
	}
	close(w.free)
	stop()
}

// TestOverdue: a delivery must have ended when it said that it would, and after
// an hour if it has not said so yet.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := New(func() View { return View{} })
		a, b := o.Begin(Order{Slot: 1}), o.Begin(Order{Slot: 2})
		b.Takes(3 * time.Hour)
		for _, c := range []struct {
			at   time.Duration
			want bool
		}{{time.Hour, false}, {1, true}} {
			time.Sleep(c.at)
			if o.Overdue() != c.want {
				t.Errorf("after %v more: %v", c.at, !c.want)
			}
		}
		a.End(&report.Outcome{}, 'Z')
		if o.Overdue() {
			t.Error("b may take longer")
		}
		time.Sleep(2 * time.Hour)
		if !o.Overdue() {
			t.Error("b has taken longer")
		}
		b.End(&report.Outcome{}, 'Z')
		if o.Overdue() {
			t.Error("nobody is left")
		}
	})
}
