package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/sink"
)

// every is the environment variable that has TestKilledAtCalls kill at every
// system call, and not at some: `make sweep`.
const every = "POSTRIDER_KILL_EVERY"

// TestKilledAtCalls kills qmail-remote and its helpers before system calls from
// their first to their last (C82). Whenever it happens: no K without the message
// taken, whole and once; who is dead has no report that counts; and nobody lives
// on.
func TestKilledAtCalls(t *testing.T) {
	for _, c := range []struct {
		name, victim string
		secured      bool
		points       int
	}{
		{"clear", "qmail-remote", false, 40},
		{"tls", "qmail-remote", true, 40},
		{"tls", "ucspi-tlsc", true, 20},
		{"tls", "qmail-remote-io", true, 25},
	} {
		t.Run(c.name+"/"+c.victim, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.secured, sink.Config{})
			calls := w.kill(t, c.victim, 0)
			points := c.points
			if os.Getenv(every) != "" {
				points = calls
			}
			for i := range points {
				// No two runs make the same calls, so that the last may come too late.
				w.kill(t, c.victim, 1+i*calls/points)
			}
			t.Logf("killed at %d of %d calls", points, calls)
		})
	}
}

// kill is one delivery in which victim is killed at its nth call. It gives the
// number of its calls.
func (w *world) kill(t *testing.T, victim string, n int) int {
	t.Helper()
	w.file(t, "message", w.message)
	stdin, err := os.Open(filepath.Join(w.home, "message"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	out, err := os.Create(filepath.Join(w.home, "report"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	life := proctest.NewLife(t)
	before := len(w.sink.Messages())
	got, err := w.command(life.Files(stdin, out, out)...).KillAt(victim, n)
	if err != nil {
		t.Fatal(err)
	}
	life.Over()
	report, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	if why := wrong(victim == "qmail-remote", got, string(report), w.taken(t, before)); why != "" {
		t.Errorf("killed at call %d: %s: it ended with %#x, saying %q", n, why, got.Status, report)
	}
	return got.Calls
}

// wrong is what may not be after a run, or "". In it qmail-remote was killed, or
// a helper, or it was over before.
func wrong(remote bool, got proctest.Traced, report string, taken int) string {
	said := letters(report)
	switch {
	case taken > 1:
		return "taken twice"
	case said == "rK" && taken == 0:
		return "not taken"
	case !slices.Contains([]string{"", "rK", "Z", "rZ"}, said):
		return "that is no report"
	case remote && got.Killed:
		if !got.Status.Signaled() || got.Status.Signal() != syscall.SIGKILL {
			return "that is not how a killed program ends"
		}
	case got.Status != 0:
		return "that is not how a program ends that has reported"
	case said == "":
		return "no report"
	case !got.Killed && said != "rK":
		return "nobody was killed"
	case said != "rK" && taken > 0 && !strings.Contains(report, "Possible duplicate!"):
		return "it was taken, and no word of that"
	}
	return ""
}

// letters are those that a report's records begin with.
func letters(report string) string {
	var b strings.Builder
	for record := range strings.SplitSeq(strings.TrimSuffix(report, "\x00"), "\x00") {
		b.WriteString(record[:min(1, len(record))])
	}
	return b.String()
}
