package spawn

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// script writes an executable file and returns its path.
func script(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// delivery is one of message 1/1, which it opens.
func delivery(t testing.TB, recipient string) Delivery {
	t.Helper()
	q := queue(t)
	f, fault := q.open("1/1")
	if fault != "" {
		t.Fatal(fault)
	}
	t.Cleanup(func() { f.Close() })
	c := order(1, "1/1", recipient)
	host, _ := c.fault()
	return Delivery{Slot: 1, MessID: c.MessID, Sender: c.Sender, Recipient: c.Recipient, Host: host, Message: f}
}

// TestExecReports: what the program prints and how it ends, and what is said of it.
func TestExecReports(t *testing.T) {
	dir := t.TempDir()
	for reason, c := range map[string]struct{ text, want string }{
		"as qmail-rspawn calls": {`printf 'r\0K'; printf '%s|' "$0" "$@"; cat; printf '\0'`, "K" + dir + "/p|b|me@here|a@x@b|message 1/1\n"},
		"descriptor 2 as 1":     {`printf 'hA\0' >&2; printf 'DB\0'`, "DAB"},
		"no output":             {"exit 0", "Zqmail-remote produced no output.\n"},
		"exit 111":              {`printf 'KA\0'; exit 111`, "ZUnable to run qmail-remote.\n"},
		"exit 100":              {`printf 'KA\0'; exit 100`, "DUnable to run qmail-remote.\n"},
		"killed":                {`printf 'KA\0'; kill -9 $$`, "Zqmail-remote crashed.\n"},
		"output after its end":  {`printf r; (sleep 0.1; printf '\0KA\0') &`, "KA"},
		"end after its output":  {`printf 'KA\0'; exec >&- 2>&-; sleep 0.1; exit 111`, "ZUnable to run qmail-remote.\n"},
		"does not read":         {`exec <&-; printf 'KA\0'`, "KA"},
	} {
		path := script(t, dir, "p", "#!/bin/sh\n"+c.text+"\n")
		e := Exec{Name: path, Program: path}
		got := string(e.Deliver(t.Context(), delivery(t, "a@x@b")))
		if got != c.want {
			t.Errorf("%s: got %q, want %q", reason, got, c.want)
		}
	}
}

// TestExecSignals: as under stock qmail-rspawn.
func TestExecSignals(t *testing.T) {
	signal.Ignore(syscall.SIGPIPE) // as main does
	defer signal.Reset(syscall.SIGPIPE)
	e := Exec{Name: "grep", Program: "grep", Path: os.Getenv("PATH")}
	d := delivery(t, "-hz") // no line of the file is printed but all, and a NUL behind it
	d.Host, d.Sender = "Sig", "/proc/self/status"
	got := string(e.Deliver(t.Context(), d))
	// The test's own parent may have had more ignored or blocked.
	for field, signal := range map[string]syscall.Signal{"SigBlk:\t": syscall.SIGCHLD, "SigIgn:\t": syscall.SIGPIPE} {
		_, hex, _ := strings.Cut(got, field)
		hex, _, _ = strings.Cut(hex, "\n")
		set, err := strconv.ParseUint(hex, 16, 64)
		if err != nil || set&(1<<(signal-1)) == 0 {
			t.Errorf("%s%s lacks %v", field, hex, signal)
		}
	}
}

// TestExecFinds: programs are found as execvp(3) finds them, and one that cannot
// be run is judged as stock judges.
func TestExecFinds(t *testing.T) {
	const ran, later, never = "Kran\n", "ZUnable to run qmail-remote.\n", "DUnable to run qmail-remote.\n"
	const text = "#!/bin/sh\nprintf 'Kran\\n\\0'\n"
	dir := t.TempDir()
	for _, d := range []string{"a", "b", "c"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	a, b, c := dir+"/a", dir+"/b", dir+"/c"
	script(t, b, "found", text)
	if err := os.WriteFile(a+"/found", []byte(text), 0o600); err != nil { // not executable
		t.Fatal(err)
	}
	if err := os.WriteFile(a+"/forbidden", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	script(t, c, "bare", "printf \"Kran\\\\n\\\\0\"\n") // no #!
	script(t, c, "lost", "#!/nonexistent/sh\n")
	busy := script(t, c, "busy", "")
	f, err := os.OpenFile(busy, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for reason, p := range map[string]struct{ program, path, want string }{
		"by path":           {b + "/found", "", ran},
		"in PATH":           {"found", "/nonexistent:" + b + ":" + c, ran},
		"behind another":    {"found", a + ":" + b, ran},
		"not executable":    {"forbidden", a + ":" + b, never},
		"a file as a dir":   {"found", b + "/found:" + b, ran},
		"nowhere":           {"found", c, never},
		"no such file":      {b + "/none", "", never},
		"a directory":       {dir + "/a", "", never},
		"without #!":        {"bare", c, ran},
		"no interpreter":    {c + "/lost", "", never},
		"open for writing":  {busy, "", later},
		"a name for nobody": {strings.Repeat("x", 300), b, never},
	} {
		e := Exec{Name: p.program, Program: p.program, Path: p.path}
		if got := string(e.Deliver(t.Context(), delivery(t, "a@b"))); got != p.want {
			t.Errorf("%s: got %q, want %q", reason, got, p.want)
		}
	}
}

// TestExecEnds: a delivery ends with its context, whoever has the pipe.
func TestExecEnds(t *testing.T) {
	dir := t.TempDir()
	path := script(t, dir, "p", "#!/bin/sh\nsleep 600 &\necho $! >"+dir+"/new\nmv "+dir+"/new "+dir+"/pid\nwait\n")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		for _, err := os.Stat(dir + "/pid"); err != nil; _, err = os.Stat(dir + "/pid") {
			time.Sleep(time.Millisecond)
		}
	}()
	e := Exec{Name: path, Program: path}
	if got := string(e.Deliver(ctx, delivery(t, "a@b"))); got != crashed {
		t.Errorf("got %q", got)
	}
	endPID(t, dir+"/pid")
}
