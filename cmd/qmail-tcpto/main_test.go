package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/tcpto"
)

// install makes a qmail home with an empty table.
func install(t *testing.T) string {
	dir := t.TempDir()
	for _, d := range []string{"queue/lock", "run/qmail-remote"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "queue/lock/tcpto"), make([]byte, 1024), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRun(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	dir := install(t)
	table := tcpto.Open(filepath.Join(dir, "queue/lock/tcpto"), filepath.Join(dir, "run/qmail-remote/tcpto6"),
		func() time.Time { return time.Unix(1_700_000_000-78, 0) })
	check := func(reason string, code int, want string) {
		t.Helper()
		var out strings.Builder
		if got := run(dir, now, &out); got != code || out.String() != want {
			t.Errorf("%s: exit %d\n%q, want\n%q", reason, got, out.String(), want)
		}
	}
	check("nothing", 0, "")
	table.TimedOut(netip.MustParseAddr("192.0.2.1"))
	check("one", 0, "192.0.2.1 timed out 78 seconds ago; # recent timeouts: 1\n")
	table.TimedOut(netip.MustParseAddr("2001:db8::1"))
	both := "192.0.2.1 timed out 78 seconds ago; # recent timeouts: 1\n2001:db8::1 timed out 78 seconds ago; # recent timeouts: 1\n"
	check("both", 0, both)

	now = now.Add(-time.Hour)
	check("a clock set back", 0, strings.ReplaceAll(both, "78", "0"))
	now = now.Add(time.Hour)

	if err := os.Remove(filepath.Join(dir, "queue/lock/tcpto")); err != nil {
		t.Fatal(err)
	}
	check("no table", 111, "fatal: unable to open tcpto: no such file or directory\n")
	if err := os.RemoveAll(filepath.Join(dir, "queue")); err != nil {
		t.Fatal(err)
	}
	check("no queue", 111, "fatal: unable to chdir: no such file or directory\n")
}

func TestTcpto6Unusable(t *testing.T) {
	dir := install(t)
	if err := os.Mkdir(filepath.Join(dir, "run/qmail-remote/tcpto6"), 0o755); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if code := run(dir, time.Now(), &out); code != 111 || out.String() != "fatal: unable to open tcpto6: is a directory\n" {
		t.Errorf("exit %d, %q", code, out.String())
	}
}
