//go:build linux && (amd64 || arm64)

package entry

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program builds testdata/program to begin at start.
func program(t *testing.T, start string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "program")
	build := exec.Command("go", "build", "-ldflags", "-E "+start, "-o", name, "./testdata/program")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return name
}

// run runs a program under a limit of the shell's.
func run(limit, name string) (stdout, stderr string, status int) {
	cmd := exec.Command("/bin/sh", "-c", `ulimit `+limit+` && exec "$0" a "b c"`, name)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=7", "ENTRY=kept")
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	cmd.Run()
	return out.String(), complaints.String(), cmd.ProcessState.ExitCode()
}

func TestEntry(t *testing.T) {
	for start, noMemory := range map[string]struct {
		out, complaints string
		status          int
	}{
		"postrider_start":  {"ZOut of memory. (#4.3.0)\n\x00", "", 0},
		"postrider_helper": {"", "out of memory at the start: raise ulimit -v, -d\n", 111},
	} {
		name := program(t, start)
		out, complaints, status := run("-Sn 100", name)
		want := "args [a b c] env kept procs 1 traceback crash mine 1 soft 100 child 100\n<nil> environ [ENTRY=kept] slack 4000000\n"
		if out != want || complaints != "" || status != 0 {
			t.Errorf("%s: %d, %q, want %q\n%s", start, status, out, want, complaints)
		}
		// Few descriptors are no few descriptors to begin with.
		if out, complaints, status := run("-n 3", name); status == 2 {
			t.Errorf("%s, 3 descriptors: %d %q %q", start, status, out, complaints)
		}
		out, complaints, status = run("-v 200000", name)
		if out != noMemory.out || status != noMemory.status || complaints != noMemory.complaints {
			t.Errorf("%s without memory: %d, %q, want %d, %q\n%s", start, status, out, noMemory.status, noMemory.out, complaints)
		}
	}
}

// TestPlain: without the first instructions Lift changes nothing.
func TestPlain(t *testing.T) {
	out, complaints, status := run("-Sn 100", program(t, "_rt0_"+goarch(t)+"_linux"))
	if !strings.Contains(out, "child 100\n<nil>") || status != 0 {
		t.Errorf("%d, %q\n%s", status, out, complaints)
	}
}

func goarch(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOARCH").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
