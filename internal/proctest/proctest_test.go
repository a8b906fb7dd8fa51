package proctest

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// shell is a Command that runs script, with its output in a file.
func shell(t *testing.T, script string) (Command, *os.File, *Life) {
	t.Helper()
	out, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	life := NewLife(t)
	return Command{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Files: life.Files(nil, out, out)}, out, life
}

func TestKillAt(t *testing.T) {
	sh, err := exec.LookPath("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	name := target(t, sh)
	c, out, life := shell(t, "echo one; echo two; exit 3")
	whole, err := c.KillAt(name, 0)
	if err != nil || whole.Killed || whole.Calls < 3 || whole.Status.ExitStatus() != 3 {
		t.Fatalf("%+v, %v", whole, err)
	}
	life.Over()
	wants(t, out, "one\ntwo\n")
	c, out, life = shell(t, "echo one; echo two; exit 3")
	last, err := c.KillAt(name, whole.Calls) // exit itself
	if err != nil || !last.Killed || !last.Status.Signaled() || last.Status.Signal() != syscall.SIGKILL {
		t.Fatalf("%+v, %v", last, err)
	}
	life.Over()
	wants(t, out, "one\ntwo\n")
	c, out, _ = shell(t, "echo one; echo two; exit 3")
	if first, err := c.KillAt(name, 1); err != nil || !first.Killed || first.Calls != 1 {
		t.Fatalf("%+v, %v", first, err)
	}
	wants(t, out, "")
}

// TestKillAtChild: the victim is one that the program starts, and the program
// sees it die.
func TestKillAtChild(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	c, out, life := shell(t, "exec 2>/dev/null; "+cat+" /dev/null; echo $?")
	got, err := c.KillAt(target(t, cat), 1)
	if err != nil || !got.Killed || got.Status.ExitStatus() != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	life.Over()
	wants(t, out, "137\n")
}

// target is the program's own name behind symbolic links.
func target(t *testing.T, path string) string {
	t.Helper()
	cmd := exec.Command("readlink", "-f", path)
	b, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	path = strings.TrimSpace(string(b))
	return path[strings.LastIndexByte(path, '/')+1:]
}

func wants(t *testing.T, f *os.File, want string) {
	t.Helper()
	if b, err := os.ReadFile(f.Name()); err != nil || string(b) != want {
		t.Errorf("%q, %v; want %q", b, err, want)
	}
}

func TestProcesses(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	life := NewLife(t)
	cmd.ExtraFiles = life.Extra()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	if !Alive(pid) || !slices.Contains(Children(t, os.Getpid()), pid) || Only(t, os.Getpid()) != pid {
		t.Errorf("%d does not live", pid)
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil || !slices.Contains(Running(t, self), os.Getpid()) {
		t.Errorf("we do not run (%v)", err)
	}
	in.Close()
	life.Over()
	Gone(t, pid) // it may be a zombie
	cmd.Wait()
	if Alive(pid) {
		t.Errorf("%d lives", pid)
	}
}
