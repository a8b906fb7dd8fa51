package main

import (
	"bufio"
	"io"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/proctest"
	"postrider/internal/sink"
)

// TestKilledAtSteps kills qmail-remote, under qmail-rspawn, at each step of a
// conversation that the server can see (C82). The server goes on as if nothing
// had been, when qmail-remote is dead. Qmail-rspawn defers the mail; nobody sends
// anything more that makes the server take it; nobody lives on.
func TestKilledAtSteps(t *testing.T) {
	clear := []string{
		"< 220", "> EHLO", "< 250 8BITMIME", "> MAIL", "< 250 sender", "> RCPT", "< 250 recipient",
		"> DATA", "< 354", "content", "taken", "< 250 taken",
	}
	under := append([]string{"> STARTTLS", "< 220 ready", "! TLS"}, clear[3:]...)
	for name, c := range map[string]struct {
		secured bool
		sink.Config
		steps []string
	}{
		"clear":   {false, sink.Config{Lockstep: true}, clear},
		"chunked": {false, sink.Config{Chunking: true}, []string{"> MAIL", "> RCPT", "content", "taken"}},
		"tls":     {true, sink.Config{Lockstep: true}, under},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.secured, c.Config)
			// More than sockets and pipes hold, so that it is not all under way at once.
			w.message += strings.Repeat(strings.Repeat("x", 1023)+"\n", 8<<10)
			s := w.spawn(t)
			for _, step := range c.steps {
				line, taken := s.signal(t, step, syscall.SIGKILL)
				want := 0
				if strings.Contains(step, "taken") {
					want = 1 // the only place for a duplicate
				}
				if line != "Zqmail-remote crashed.\n" || taken != want {
					t.Errorf("killed at %q: %q; taken %d times", step, line, taken)
				}
			}
			s.end(t)
		})
	}
}

// deadly are the signals that qmail-remote always dies of.
var deadly = []syscall.Signal{
	syscall.SIGKILL, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGABRT, syscall.SIGSEGV, syscall.SIGBUS,
}

// TestSignals: of any signal qmail-remote dies, which defers the mail, or it
// minds its business (C82).
func TestSignals(t *testing.T) {
	signals := append([]syscall.Signal{
		syscall.SIGHUP, syscall.SIGINT, // which our own parent may have had ignored
		syscall.SIGPIPE, syscall.SIGALRM, syscall.SIGUSR1, syscall.SIGURG, syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGVTALRM,
	}, deadly[1:]...)
	for _, secured := range []bool{false, true} {
		t.Run(map[bool]string{false: "clear", true: "tls"}[secured], func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, secured, sink.Config{})
			s := w.spawn(t)
			for _, signal := range signals {
				for _, step := range []string{"< 220", "> MAIL", "taken"} {
					line, taken := s.signal(t, step, signal)
					dies, inDoubt := slices.Contains(deadly, signal), step == "taken"
					switch {
					case line == "Zqmail-remote crashed.\n":
						if dies && (taken == 1) != inDoubt || taken > 1 {
							t.Errorf("%v at %q: taken %d times", signal, step, taken)
						}
					case dies || taken != 1 || !strings.HasPrefix(line, "K192.0.2.7 accepted message.\n"):
						t.Errorf("%v at %q: %q; taken %d times", signal, step, line, taken)
					}
				}
			}
			s.end(t)
		})
	}
}

// spawned is a qmail-rspawn that runs our qmail-remote, and we are qmail-send.
type spawned struct {
	*world
	cmd  *exec.Cmd
	life *proctest.Life
	in   io.WriteCloser
	out  *bufio.Reader
}

func (w *world) spawn(t *testing.T) *spawned {
	t.Helper()
	w.file(t, "queue/mess/1/24", w.message)
	s := &spawned{world: w, cmd: exec.Command(w.bin + "/qmail-rspawn"), life: proctest.NewLife(t)}
	s.cmd.Dir = "/"
	s.cmd.Env = append(w.env(), "QMAILREMOTE="+w.bin+"/qmail-remote")
	s.cmd.ExtraFiles = s.life.Extra()
	var err error
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() })
	if _, err := s.out.ReadByte(); err != nil { // how many at a time
		t.Fatal(err)
	}
	return s
}

// signal has one message delivered and sends qmail-remote a signal at step. It
// gives what qmail-rspawn says and how often the server took the message.
func (s *spawned) signal(t *testing.T, step string, signal syscall.Signal) (line string, taken int) {
	t.Helper()
	before := len(s.sink.Messages())
	reported := make(chan struct{})
	sent := false
	hook := func(what string) {
		if sent || !strings.HasPrefix(what, step) {
			return
		}
		sent = true
		pids := proctest.Running(t, s.bin+"/qmail-remote")
		if len(pids) != 1 {
			t.Errorf("at %q these are qmail-remote: %v", step, pids)
			return
		}
		if err := syscall.Kill(pids[0], signal); err != nil {
			t.Error(err)
		}
		if slices.Contains(deadly, signal) {
			<-reported // the server goes on when it has died
		}
	}
	s.hook.Store(&hook)
	if _, err := io.WriteString(s.in, "\x001/24\x00me@example.com\x00you@example.net\x00"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.out.ReadByte(); err != nil { // the slot
		t.Fatal(err)
	}
	line, err := s.out.ReadString(0)
	if err != nil {
		t.Fatal(err)
	}
	close(reported)
	for _, program := range programs[:3] {
		proctest.Gone(t, proctest.Running(t, s.bin+"/"+program)...)
	}
	taken = s.taken(t, before)
	if !sent {
		t.Errorf("there was no step %q", step)
	}
	return strings.TrimSuffix(line, "\x00"), taken
}

// end ends qmail-rspawn, and nobody is left.
func (s *spawned) end(t *testing.T) {
	t.Helper()
	s.in.Close()
	s.life.Over()
	if err := s.cmd.Wait(); err != nil {
		t.Error(err)
	}
}
