package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/sink"
)

// TestLimits: under any limit qmail-remote delivers, or says Z, or ends in a way
// that qmail-rspawn takes for a deferral; in clear, and with its helpers under
// the same limit (C80). What is promised to be enough is enough.
func TestLimits(t *testing.T) {
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "tls"}[secured], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, secured, sink.Config{})
			w.file(t, "message", w.message)
			for n := 3; n <= 32; n++ {
				enough := 16 // qmail-remote(8), LIMITS
				if secured {
					enough = 32
				}
				w.limited(t, fmt.Sprint("-n ", n), n >= enough)
			}
			for _, limit := range []string{
				"-d 0", "-d 1024", "-d 16384", "-d 65536", "-d 98304", "-s 8", "-s 64",
				"-v 1024", "-v 8192", "-v 16384", "-v 65536", "-v 262144", "-v 524288", "-v 786432",
			} {
				w.limited(t, limit, false)
			}
			for _, limit := range []string{"-f 0", "-s 256", "-d 131072", "-v 1048576"} {
				w.limited(t, limit, true)
			}
		})
	}
}

// limited is one delivery under a limit of the shell's ulimit.
func (w *world) limited(t *testing.T, limit string, enough bool) {
	t.Helper()
	message, err := os.Open(filepath.Join(w.home, "message"))
	if err != nil {
		t.Fatal(err)
	}
	defer message.Close()
	life := proctest.NewLife(t)
	before := len(w.sink.Messages())
	args := []string{"-c", "ulimit $0 && exec \"$@\"", limit, w.bin + "/qmail-remote", "example.net", "me@example.com", "you@example.net"}
	cmd := exec.Command("/bin/sh", args...)
	var report bytes.Buffer
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.ExtraFiles = w.env(), message, &report, life.Extra()
	cmd.Run()
	life.Over()
	taken := w.taken(t, before)
	said, code := letters(report.String()), cmd.ProcessState.ExitCode()
	var good bool
	switch {
	case enough:
		good = code == 0 && said == "rK" && taken == 1
	case code == 0:
		good = said == "rK" && taken == 1 || slices.Contains([]string{"Z", "rZ"}, said) && (taken == 0 || strings.Contains(report.String(), "Possible duplicate!"))
	default:
		good = (code == 111 || code == -1) && taken == 0 // -1: by a signal
	}
	if !good {
		t.Errorf("ulimit %s: %v, %q; taken %d times", limit, cmd.ProcessState, report.String(), taken)
	}
}
