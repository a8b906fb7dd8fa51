package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// child finds the TLS process of the program pid.
func child(t *testing.T, pid int) string {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stats {
		text, err := os.ReadFile(s)
		_, rest, _ := strings.Cut(string(text), " (ucspi-tlsd-io) ")
		if f := strings.Fields(rest); err == nil && len(f) > 1 && f[1] == strconv.Itoa(pid) {
			return strings.TrimSuffix(s, "/stat")
		}
	}
	t.Fatalf("process %d has no TLS process", pid)
	return ""
}

// status is the line of /proc/PID/status, its fields.
func status(t *testing.T, proc, line string) []string {
	t.Helper()
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(l, line+":"); ok {
			return strings.Fields(rest)
		}
	}
	t.Fatalf("%s has no %s", proc, line)
	return nil
}

// spy is a program that has given up root's rights, by setpriv, and looks for
// the key: in its own descriptors and environment, in the file, and in the TLS
// process.
func spy(key string) []string {
	return []string{"sh", "-c", starttls + `
ls -l /proc/self/fd | grep -c "` + key + `"
env | grep -c "` + key + `"
cat "` + key + `" >/dev/null 2>&1; echo $?
read -r pid
for f in mem environ maps fd/0 cwd; do cat /proc/$pid/$f >/dev/null 2>&1; echo $?; done
kill -0 $pid 2>/dev/null; echo $?
`}
}

// Neither process has what the other's rights are for (S31). Only root can tell
// them apart; for others the TLS process is of the same user as everything else,
// and still shows nobody its memory.
func TestRights(t *testing.T) {
	if os.Geteuid() != 0 {
		unprivileged(t)
		return
	}
	for name, c := range map[string]struct {
		env      []string
		uid, gid string
	}{
		"ucspi-ssl's":  {[]string{"SSL_UID=61001", "SSL_GID=61002", "TLS_UID=1"}, "61001", "61002"},
		"s6's":         {[]string{"TLS_UID=61003", "TLS_GID=61004"}, "61003", "61004"},
		"left to us":   {nil, "65534", "65534"},
		"and a prison": {[]string{"SSL_UID=61001", "SSL_GID=61002", "SSL_CHROOT=" + t.TempDir()}, "61001", "61002"},
	} {
		env := append(keys(t), c.env...)
		_, key, _ := strings.Cut(env[1], "=")
		r := serve(t, early, env, append([]string{"setpriv", "--reuid=61010", "--regid=61011", "--clear-groups"}, spy(key)...)...)
		r.hears("220 clear")
		proc := child(t, r.cmd.Process.Pid)
		r.say("STARTTLS\n")
		r.hears("220 go")
		r.secure(config("mx.example"))
		for line := ""; line != "."; line = r.hear() {
		}
		if got := status(t, proc, "Uid"); !slices.Equal(got, []string{c.uid, c.uid, c.uid, c.uid}) {
			t.Errorf("%s: user %v", name, got)
		}
		if got := status(t, proc, "Gid"); !slices.Equal(got, []string{c.gid, c.gid, c.gid, c.gid}) {
			t.Errorf("%s: group %v", name, got)
		}
		if got := status(t, proc, "Groups"); !slices.Equal(got, []string{c.gid}) {
			t.Errorf("%s: groups %v", name, got)
		}
		root, err := os.Readlink(proc + "/root")
		if want := strings.TrimPrefix(strings.Join(c.env, " "), "SSL_UID=61001 SSL_GID=61002 SSL_CHROOT="); err != nil || root != "/" && root != want || name == "and a prison" && root != want {
			t.Errorf("%s: root %s, %v", name, root, err)
		}
		for what, n := range map[string]string{"CapEff": "0000000000000000", "CapPrm": "0000000000000000"} {
			if got := status(t, proc, what); got[0] != n {
				t.Errorf("%s: %s %v", name, what, got)
			}
		}
		for _, fd := range []string{"/fd/0", "/fd/1"} { // a second hold on the connection would keep it from ending
			if held, err := os.Readlink(proc + fd); err != nil || strings.HasPrefix(held, "socket:") {
				t.Errorf("%s: %s is %s, %v", name, fd, held, err)
			}
		}
		r.hears("0", "0", "1")
		r.say(filepath.Base(proc) + "\n")
		r.hears("1", "1", "1", "1", "1", "1", "")
		if _, log := r.over(); log != "" {
			t.Errorf("%s: %s", name, log)
		}
	}
	refusals(t, map[string]string{"SSL_UID=0": "SSL_UID=0", "TLS_GID=x": "TLS_GID=x", "SSL_CHROOT=/nonexistent": "SSL_CHROOT=/nonexistent"})
}

func unprivileged(t *testing.T) {
	r := serve(t, early, keys(t), "sh", "-c", starttls+echo)
	r.hears("220 clear")
	proc := child(t, r.cmd.Process.Pid)
	r.say("STARTTLS\n")
	r.hears("220 go")
	r.secure(config("mx.example"))
	r.say("a\n")
	for line := ""; line != "heard a"; line = r.hear() {
	}
	if f, err := os.Open(proc + "/mem"); err == nil {
		f.Close()
		t.Error("the memory of the TLS process can be read")
	}
	r.say("quit\n")
	r.over()
	refusals(t, map[string]string{"SSL_UID=61001": "only root", "SSL_GID=61002": "only root", "SSL_CHROOT=/": "only root", "TLS_UID=x": "TLS_UID=x"})
}

// refusals are environments under which there is no TLS.
func refusals(t *testing.T, says map[string]string) {
	t.Helper()
	for setting, want := range says {
		r := serve(t, early, append(keys(t), setting), "-t", "echo", "started")
		r.hears("")
		if code, log := r.over(); code != 97 || !strings.Contains(log, want) {
			t.Errorf("%s: exit %d: %s", setting, code, log)
		}
	}
}

// Descriptors that the server had open are the program's, however high, and none
// of the TLS process's business.
func TestHighDescriptors(t *testing.T) {
	held, err := os.Open(early)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for _, fd := range []int{20, 200} {
		if err := syscall.Dup3(int(held.Fd()), fd, 0); err != nil {
			t.Fatal(err)
		}
		r := serve(t, early, keys(t), "-t", "sh", "-c", `ls -l /proc/$$/fd | grep -c early; `+echo)
		syscall.Close(fd)
		r.secure(config("mx.example"))
		r.hears("1")
		if _, err := os.Lstat(child(t, r.cmd.Process.Pid) + "/fd/" + itoa(fd)); err == nil {
			t.Errorf("the TLS process has descriptor %d", fd)
		}
		r.say("quit\n")
		r.hears("heard quit", "")
		r.over()
	}
}
