package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// engineRig is a qmail-rspawn that delivers by itself, to nobody, with its
// descriptor 2 in a file; run is whether there is a run/qmail-remote, with the
// socket of an engine that was killed.
func engineRig(t *testing.T, run bool) (r *rig, log string) {
	t.Helper()
	r = prepare(t, "exit 0", "QMAILREMOTE=")
	dirs := []string{"control"}
	if run {
		dirs = append(dirs, "run/qmail-remote")
	}
	for _, d := range dirs {
		if err := os.MkdirAll(filepath.Join(r.home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.file("control/me", "rig.example\n", 0o644)
	r.file("control/smtproutes", ":[127.0.0.1]:1|account|hunter2\n", 0o644)
	if run {
		l, err := net.Listen("unix", filepath.Join(r.home, "run/qmail-remote/engine.sock"))
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		l.Close()
	}
	log = filepath.Join(r.home, "log")
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r.cmd.Stderr = f
	r.begin()
	r.limit()
	return r, log
}

const unreachable = "ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n"

// TestWatched: the engine's socket, from the first delivery to the end, and its log.
func TestWatched(t *testing.T) {
	r, log := engineRig(t, true)
	socket := filepath.Join(r.home, "run/qmail-remote/engine.sock")
	r.order(3, "1/24", "a@b.example")
	r.wants(3, unreachable)
	if text, err := os.ReadFile(log); err != nil || len(text) > 0 {
		t.Errorf("a log that nobody wanted: %q, %v", text, err)
	}
	if s, err := os.Stat(socket); err != nil || s.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", s, err)
	}
	r.file("control/remotelog", "1\n", 0o644)
	r.order(4, "1/24", "a@b.example")
	r.wants(4, unreachable)
	client := through(socket)
	for what, want := range map[string]string{"/state": `"deferred": 2`, "/metrics": `qmail_remote_deliveries_total{cause="no_connection",letter="Z"} 2`} {
		a, err := client.Get("http://engine" + what)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || !strings.Contains(string(text), want) || strings.Contains(string(text), "hunter2") {
			t.Errorf("%s: %s, %v", what, text, err)
		}
	}
	client.CloseIdleConnections()
	r.reloads(socket)
	r.end(0)
	if _, err := os.Lstat(socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %v", err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	var line struct{ Result, Cause, To string }
	if err := json.Unmarshal(text, &line); err != nil || line.Result != "Z" || line.Cause != "no_connection" || line.To != "a@b.example" {
		t.Errorf("%s: %v", text, err)
	}
}

// through is a client of an engine's socket.
func through(socket string) http.Client {
	return http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
}

// reloads fails unless SIGHUP to the front reaches the engine.
func (r *rig) reloads(socket string) {
	r.t.Helper()
	client := through(socket)
	defer client.CloseIdleConnections()
	r.cmd.Process.Signal(syscall.SIGHUP)
	var text []byte
	for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		a, err := client.Get("http://engine/metrics")
		if err != nil {
			r.t.Fatal(err)
		}
		text, err = io.ReadAll(a.Body)
		a.Body.Close()
		if err != nil || strings.Contains(string(text), "\nqmail_remote_reloads_total 1\n") {
			return
		}
	}
	r.t.Errorf("not reloaded: %s", text)
}

// TestNoRunDirectory: mail goes without a socket as well.
func TestNoRunDirectory(t *testing.T) {
	r, log := engineRig(t, false)
	r.order(3, "1/24", "a@b.example")
	r.wants(3, unreachable)
	r.end(0)
	if text, err := os.ReadFile(log); err != nil || len(text) > 0 {
		t.Errorf("%q, %v", text, err)
	}
}

// TestGuardReports: no line of a log becomes a report.
func TestGuardReports(t *testing.T) {
	reader, reports, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	other, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, c := range []struct {
		reason string
		file   *os.File
		mute   bool
	}{{"the reports' pipe", reports, true}, {"only for reading", reader, true}, {"another file", other, false}} {
		fd, err := syscall.Dup(int(c.file.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := guardReports(int(reports.Fd()), fd); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		}
		log := os.NewFile(uintptr(fd), "log")
		if _, err := log.WriteString("a line"); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		}
		own, err := log.Stat()
		null, err2 := os.Stat(os.DevNull)
		if err != nil || err2 != nil || os.SameFile(own, null) != c.mute {
			t.Errorf("%s: %v, %v, %v", c.reason, own, err, err2)
		}
		log.Close()
	}
	reports.Close()
	if text, err := io.ReadAll(reader); err != nil || len(text) > 0 {
		t.Errorf("reports: %q, %v", text, err)
	}
}
