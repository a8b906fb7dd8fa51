package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// asProgram makes the test binary be checknotroot itself.
const asProgram = "CHECKNOTROOT_IS_THE_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(m.Run())
}

func TestSearch(t *testing.T) {
	for _, c := range []struct {
		reason, path, prog string
		answers            map[string]error // of exec; ENOENT where nothing is said
		tried              string
		want               error
	}{
		{"a slash is not searched", "/a", "./prog", nil, "./prog", syscall.ENOENT},
		{"PATH in its order", "/a:/b", "prog", nil, "/a/prog /b/prog", syscall.ENOENT},
		{"an empty entry is here", ":/b", "prog", nil, "./prog /b/prog", syscall.ENOENT},
		{"no PATH", "", "prog", nil, "/bin/prog /usr/bin/prog", syscall.ENOENT},
		{"one that may not be run", "/a:/b", "prog", map[string]error{"/a/prog": syscall.EACCES}, "/a/prog /b/prog", syscall.EACCES},
		{"one that cannot be run", "/a:/b", "prog", map[string]error{"/a/prog": syscall.ENOEXEC}, "/a/prog", syscall.ENOEXEC},
		{"no directory", "/a:/b", "prog", map[string]error{"/a/prog": syscall.ENOTDIR, "/b/prog": syscall.E2BIG}, "/a/prog /b/prog", syscall.E2BIG},
	} {
		var tried []string
		err := search([]string{c.prog, "x"}, []string{"A=b", "PATH=" + c.path}, func(file string, args, env []string) error {
			tried = append(tried, file)
			if !slices.Equal(args, []string{c.prog, "x"}) || len(env) != 2 {
				t.Errorf("%s: %q, %q", c.reason, args, env)
			}
			if err, ok := c.answers[file]; ok {
				return err
			}
			return syscall.ENOENT
		})
		if got := strings.Join(tried, " "); got != c.tried || !errors.Is(err, c.want) {
			t.Errorf("%s: tried %q, %v; want %q, %v", c.reason, got, err, c.tried, c.want)
		}
	}
}

// TestRoot: root's uid is enough, whoever runs the test.
func TestRoot(t *testing.T) {
	code := run([]string{"checknotroot", "/bin/true"}, nil, 0, func(file string, _, _ []string) error {
		t.Errorf("root runs %s", file)
		return nil
	})
	if code != 1 {
		t.Errorf("exit %d", code)
	}
}

// TestProgram runs the program as the user of the test and, if that is root, as
// another.
func TestProgram(t *testing.T) {
	for _, c := range []struct {
		reason string
		uid    int
		args   []string
		code   int
		out    string
		says   string
	}{
		{"no program", 1, nil, 1, "", "checknotroot: usage: checknotroot prog\n"},
		{"root", 0, []string{"echo", "no"}, 1, "", "checknotroot: WAS RUNNING AS ROOT, TERMINATING\n"},
		{"a user", 1, []string{"sh", "-c", "echo yes; exit 7"}, 7, "yes\n", ""},
		{"no such program", 1, []string{"no-such-program"}, 1, "", "checknotroot: unable to run no-such-program: no such file or directory\n"},
	} {
		if c.uid == 0 && os.Getuid() != 0 {
			continue // TestRoot
		}
		code, out, says := as(t, c.uid, c.args)
		if code != c.code || out != c.out || says != c.says {
			t.Errorf("%s: exit %d, %q, %q; want %d, %q, %q", c.reason, code, out, says, c.code, c.out, c.says)
		}
	}
}

// as runs the program with real user id 0, or with any other.
func as(t *testing.T, uid int, args []string) (code int, out, says string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "checknotroot")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program := filepath.Join(dir, "checknotroot")
	self, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.WriteFile(program, self, 0o755), os.Chmod(dir, 0o755)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", asProgram + "=1"}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if uid != 0 && os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 12345}}
	}
	if err := cmd.Run(); cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}
