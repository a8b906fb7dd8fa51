package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/queuetest"
)

// traced is a session, killed at its nth system call, with its input and output
// in files.
func traced(t *testing.T, home queuetest.Home, n int) (r proctest.Traced, output string) {
	t.Helper()
	in, out := proctest.InOut(t, session)
	defer in.Close() // a test has hundreds of them
	defer out.Close()
	life := proctest.NewLife(t)
	c := proctest.Command{
		Path: filepath.Join(bin, "qmail-smtpd"), Args: []string{"qmail-smtpd"}, Env: append(home.Env("", ""), "GOMAXPROCS=1"),
		Files: life.Files(in, out, os.Stderr),
	}
	r, err := c.KillAt("qmail-smtpd", n)
	if err != nil {
		t.Fatal(err)
	}
	life.Over() // the queue program too
	b, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	return r, string(b)
}

// S22: killed wherever, a message is whole in the queue or not there at all, and
// who was told that it is there was told the truth.
func TestKilled(t *testing.T) {
	home := queuetest.New(t)
	whole, output := traced(t, home, 0)
	if mask(output) != said || whole.Killed || whole.Status.ExitStatus() != 0 {
		t.Fatalf("%+v: %q", whole, output)
	}
	wanted := home.Only(t)
	_, wantContent, _ := strings.Cut(wanted.Content, "-0000\n")
	untold, nothing := 0, 0
	for n := 1; n <= whole.Calls; n += 2 {
		home := queuetest.New(t)
		r, output := traced(t, home, n)
		if r.Killed != r.Status.Signaled() {
			t.Errorf("call %d: %+v", n, r)
		}
		list := home.Messages(t)
		taken := len(list) == 1 && list[0].Taken
		told := strings.Contains(output, "250 ok ")
		if taken {
			if _, content, _ := strings.Cut(list[0].Content, "-0000\n"); content != wantContent || list[0].Envelope != wanted.Envelope {
				t.Errorf("call %d: %+v", n, list[0])
			}
		}
		switch {
		case told && !taken || len(list) > 1:
			t.Errorf("call %d: told %q, queued %+v", n, output, list)
		case taken && !told:
			untold++
		case !taken:
			nothing++
		}
	}
	if untold == 0 || nothing == 0 {
		t.Errorf("killed at %d calls: %d times queued and not told, %d times neither", whole.Calls/2, untold, nothing)
	}
}
