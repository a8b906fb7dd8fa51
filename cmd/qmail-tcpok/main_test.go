package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	check := func(reason string, code int, want string) {
		t.Helper()
		var stderr strings.Builder
		if got := run(dir, &stderr); got != code || stderr.String() != want {
			t.Errorf("%s: exit %d\n%q, want\n%q", reason, got, stderr.String(), want)
		}
	}
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	zero := func(name string, size int) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, make([]byte, size)) {
			t.Errorf("%s is not %d zero bytes: %x, %v", name, size, got, err)
		}
	}
	check("no queue", 111, "qmail-tcpok: fatal: unable to chdir to "+dir+"/queue/lock: no such file or directory\n")
	for _, d := range []string{"queue/lock", "run/qmail-remote"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	check("no table", 111, "qmail-tcpok: fatal: unable to write "+dir+"/queue/lock/tcpto: no such file or directory\n")

	write("queue/lock/tcpto", bytes.Repeat([]byte{1}, 1024))
	check("IPv4 alone", 0, "")
	zero("queue/lock/tcpto", 1024)

	write("queue/lock/tcpto", nil)
	write("run/qmail-remote/tcpto6", bytes.Repeat([]byte{1}, 8192))
	check("both", 0, "")
	zero("queue/lock/tcpto", 1024) // Compat(qmail): an empty one becomes a table
	zero("run/qmail-remote/tcpto6", 8192)

	if err := os.Remove(filepath.Join(dir, "run/qmail-remote/tcpto6")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "run/qmail-remote/tcpto6"), 0o755); err != nil {
		t.Fatal(err)
	}
	write("queue/lock/tcpto", bytes.Repeat([]byte{1}, 1024))
	check("tcpto6 unusable", 111, "qmail-tcpok: fatal: unable to write "+dir+"/run/qmail-remote/tcpto6: is a directory\n")
	zero("queue/lock/tcpto", 1024) // nevertheless
	dir = filepath.Join(dir, "nowhere")
	check("no home", 111, "qmail-tcpok: fatal: unable to chdir to "+dir+": no such file or directory\n")
}
