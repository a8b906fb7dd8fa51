package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/nettest"
	"postrider/internal/proctest"
	"postrider/internal/spawn"
)

// bin is where TestMain has built qmail-rspawn.
var bin string

// TestMain has the rights to make networks: see nettest.
func TestMain(m *testing.M) {
	if err := nettest.Reexec(); err != nil {
		os.Exit(nettest.Skip(err))
	}
	proctest.Main(m, &bin, "qmail-rspawn")
}

// rig is a qmail-rspawn under way, and we are its qmail-send.
type rig struct {
	t    *testing.T
	home string
	cmd  *exec.Cmd
	in   io.WriteCloser
	pipe io.Closer // what out reads
	out  *bufio.Reader
}

// start makes a home whose qmail-remote is a shell script, and runs qmail-rspawn
// there, with env added to the environment.
func start(t *testing.T, script string, env ...string) *rig {
	t.Helper()
	r := prepare(t, script, env...)
	r.begin()
	return r
}

// prepare is start without the beginning.
func prepare(t *testing.T, script string, env ...string) *rig {
	t.Helper()
	r := &rig{t: t, home: t.TempDir()}
	for _, d := range []string{"bin", "queue/mess/1", "queue/lock"} {
		if err := os.MkdirAll(filepath.Join(r.home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r.file("bin/qmail-remote", "#!/bin/sh\n"+script+"\n", 0o700)
	r.message("1/24", "message\n")
	r.file("queue/lock/tcpto", strings.Repeat("\x01", 1024), 0o600)
	r.cmd = exec.Command(bin + "/qmail-rspawn")
	r.cmd.Dir = "/"
	r.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "QMAILHOME=" + r.home, "QMAILREMOTE=" + filepath.Join(r.home, "bin/qmail-remote")}, env...)
	return r
}

func (r *rig) begin() {
	t := r.t
	t.Helper()
	var err error
	if r.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.pipe, r.out = out, bufio.NewReader(out)
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.cmd.Process.Kill() })
}

func (r *rig) file(name, text string, mode os.FileMode) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.home, name), []byte(text), mode); err != nil {
		r.t.Fatal(err)
	}
}

// message makes a message in the queue.
func (r *rig) message(id, text string) {
	r.t.Helper()
	r.file("queue/mess/"+id, text, 0o644)
	if uid, known := lookup("qmailq"); known && uid != uint32(os.Getuid()) { // then we must be root
		if err := os.Chown(filepath.Join(r.home, "queue/mess", id), int(uid), -1); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) limit() int {
	r.t.Helper()
	b, err := r.out.ReadByte()
	if err != nil {
		r.t.Fatal(err)
	}
	return int(b)
}

func (r *rig) order(slot byte, messid, recipient string) {
	r.t.Helper()
	r.orderFrom(slot, messid, "me@here", recipient)
}

func (r *rig) orderFrom(slot byte, messid, sender, recipient string) {
	r.t.Helper()
	c := spawn.Command{Slot: slot, MessID: messid, Sender: sender, Recipient: recipient}
	if _, err := r.in.Write(c.AppendTo(nil)); err != nil {
		r.t.Fatal(err)
	}
}

// report is the next one.
func (r *rig) report() (slot byte, line string) {
	r.t.Helper()
	slot, err := r.out.ReadByte()
	if err != nil {
		r.t.Fatal(err)
	}
	line, err = r.out.ReadString(0)
	if err != nil {
		r.t.Fatal(err)
	}
	return slot, strings.TrimSuffix(line, "\x00")
}

func (r *rig) wants(slot byte, line string) {
	r.t.Helper()
	if s, l := r.report(); s != slot || l != line {
		r.t.Errorf("got %d %q, want %d %q", s, l, slot, line)
	}
}

// end closes the input; then nothing more is said, and the exit code is code.
func (r *rig) end(code int) {
	r.t.Helper()
	r.in.Close()
	if rest, err := io.ReadAll(r.out); err != nil || len(rest) > 0 {
		r.t.Errorf("left: %q, %v", rest, err)
	}
	r.cmd.Wait()
	if got := r.cmd.ProcessState.ExitCode(); got != code {
		r.t.Errorf("exit %d, want %d", got, code)
	}
}

// TestDeliveries: what qmail-remote is given, and what qmail-send is told.
func TestDeliveries(t *testing.T) {
	r := start(t, `printf 'r\0K'; printf '%s|' "$@"; pwd -P; cat; printf '\0'`)
	if n := r.limit(); n != 255 {
		t.Errorf("limit %d", n)
	}
	mess, err := filepath.EvalSymlinks(filepath.Join(r.home, "queue/mess"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		slot            byte
		messid, to, say string
	}{
		{0, "1/24", "a@x@b", "Kb|me@here|a@x@b|" + mess + "\nmessage\n"},
		{254, "1/24", "@", "K|me@here|@|" + mess + "\nmessage\n"},
		{255, "1/24", "a@b", "ZInternal error: delnum too big. (#4.3.5)\n"},
		{0, "1/25", "a@b", "Zqmail-spawn unable to open message. (#4.3.0)\n"},
		{0, "1", "a@b", "ZSorry, message has wrong type. (#4.3.5)\n"},
		{0, "1/x", "a@b", "DInternal error: messid has nonnumerics. (#5.3.5)\n"},
		{0, "1/24", "postmaster", "DSorry, address must include host name. (#5.1.3)\n"},
	} {
		r.order(c.slot, c.messid, c.to)
		r.wants(c.slot, c.say)
	}
	io.WriteString(r.in, "\x011/24\x00me@h") // and half a command
	r.end(0)
	if b, err := os.ReadFile(filepath.Join(r.home, "queue/lock/tcpto")); err != nil || string(b) != strings.Repeat("\x00", 1024) {
		t.Errorf("tcpto: %.20q, %v", b, err)
	}
}

// TestEnvironment: QMAILSPAWN and QMAILREMOTE.
func TestEnvironment(t *testing.T) {
	r := start(t, "exit 0", "QMAILSPAWN=2", "QMAILREMOTE=/nonexistent/qmail-remote")
	if n := r.limit(); n != 2 {
		t.Errorf("limit %d", n)
	}
	r.order(2, "1/24", "a@b")
	r.wants(2, "ZInternal error: delnum too big. (#4.3.5)\n")
	r.order(1, "1/24", "a@b")
	r.wants(1, "DUnable to run qmail-remote.\n") // as stock
	r.end(0)

	r = start(t, "exit 0", "QMAILREMOTE=printf", "QMAILSPAWN=x")
	if n := r.limit(); n != 255 {
		t.Errorf("limit %d", n)
	}
	r.order(1, "1/24", `a@KP\nfound\0`)
	r.wants(1, "KP\nfound")
	r.end(0)
}

// TestEndOfInput: deliveries under way are finished and reported (C85).
func TestEndOfInput(t *testing.T) {
	r := start(t, `while ! test -e ../../go; do sleep 0.01; done; printf 'Kdone\0'`)
	r.limit()
	for slot := range byte(5) {
		r.order(slot, "1/24", "a@b")
	}
	r.in.Close()
	r.file("go", "", 0o600)
	got := map[byte]string{}
	for range 5 {
		slot, line := r.report()
		got[slot] = line
	}
	for slot := range byte(5) {
		if got[slot] != "Kdone" {
			t.Errorf("slot %d: %q", slot, got[slot])
		}
	}
	r.end(0)
}

// TestEngineKilled: each open slot is answered, the deliveries are ended with
// the engine that began them, and the next command finds another (C80).
func TestEngineKilled(t *testing.T) {
	r := start(t, `case $1 in hangs) exec sleep 600;; esac; printf 'Kfine\0'`)
	r.limit()
	r.order(3, "1/24", "a@b")
	r.wants(3, "Kfine")
	for range 5 {
		r.order(1, "1/24", "a@hangs")
		engine := proctest.Only(t, r.cmd.Process.Pid)
		delivery := proctest.Only(t, engine)
		if err := syscall.Kill(engine, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		r.wants(1, "Zqmail-remote crashed.\n")
		proctest.Gone(t, engine, delivery)
		r.order(2, "1/24", "a@b")
		r.wants(2, "Kfine")
	}
	r.end(0)
}

// TestHangUp: SIGHUP, to whom of them it may be, ends neither front nor engine
// nor the deliveries under way.
func TestHangUp(t *testing.T) {
	r := start(t, `while ! test -e ../../go; do sleep 0.01; done; printf 'Kfine\0'`)
	r.limit()
	r.cmd.Process.Signal(syscall.SIGHUP) // there is no engine yet
	r.order(1, "1/24", "a@b")
	engine := proctest.Only(t, r.cmd.Process.Pid)
	proctest.Only(t, engine)
	for _, pid := range []int{r.cmd.Process.Pid, engine} {
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
	}
	r.order(2, "1/24", "a@b")
	r.file("go", "", 0o600)
	for range 2 {
		if slot, line := r.report(); line != "Kfine" {
			t.Errorf("%d: %q", slot, line)
		}
	}
	if now := proctest.Only(t, r.cmd.Process.Pid); now != engine {
		t.Errorf("engine %d, then %d", engine, now)
	}
	r.end(0)
}

// TestFrontKilled: no engine and no delivery outlives the front.
func TestFrontKilled(t *testing.T) {
	r := start(t, "exec sleep 600")
	r.limit()
	r.order(1, "1/24", "a@b")
	engine := proctest.Only(t, r.cmd.Process.Pid)
	delivery := proctest.Only(t, engine)
	r.cmd.Process.Kill()
	r.cmd.Wait()
	proctest.Gone(t, engine, delivery)
}

// TestDeaf: when qmail-send is gone, what it ordered is done (C81).
func TestDeaf(t *testing.T) {
	r := start(t, `cat >>../../done; printf 'Kfine\0'`)
	r.limit()
	r.order(1, "1/24", "a@b")
	r.wants(1, "Kfine")
	r.pipe.Close()
	r.order(1, "1/24", "a@b")
	r.in.Close()
	r.cmd.Wait()
	if b, err := os.ReadFile(filepath.Join(r.home, "done")); err != nil || string(b) != "message\nmessage\n" {
		t.Errorf("%q, %v", b, err)
	}
	if code := r.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestNoQueue(t *testing.T) {
	cmd := exec.Command(bin + "/qmail-rspawn")
	cmd.Env = []string{"QMAILHOME=" + t.TempDir()}
	out, _ := cmd.Output()
	if len(out) > 0 || cmd.ProcessState.ExitCode() != 111 {
		t.Errorf("%q, %v", out, cmd.ProcessState)
	}
}

func TestLimit(t *testing.T) {
	for env, want := range map[string]int{"": 255, "1": 1, "254": 254, "255": 255, "256": 255, "0": 255, "-1": 255, "x": 255, "20 ": 255} {
		if got := limit(env); got != want {
			t.Errorf("%q: %d, want %d", env, got, want)
		}
	}
}

func TestQueueOwner(t *testing.T) {
	dir := t.TempDir()
	mess, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer mess.Close()
	for reason, c := range map[string]struct {
		uid   uint32
		known bool
		want  uint32
	}{"qmailq": {4711, true, 4711}, "no qmailq": {4711, false, uint32(os.Getuid())}} {
		got, err := queueOwner(mess, func(name string) (uint32, bool) { return c.uid, c.known && name == "qmailq" })
		if err != nil || got != c.want {
			t.Errorf("%s: %d, %v", reason, got, err)
		}
	}
}
