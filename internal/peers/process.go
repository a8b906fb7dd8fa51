package peers

import (
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait for a peer: to come up, to deliver, to end.
const patience = 5 * time.Minute

// process is a daemon in the foreground, stopped with its test.
type process struct {
	name   string
	output string // path: standard output and error
	addr   string // where it listens, once it did
	cmd    *exec.Cmd
	ended  chan struct{} // closed once cmd.Wait returned
}

// launch starts a daemon that stays in the foreground, its output in dir/output.
func launch(t testing.TB, dir string, argv ...string) *process {
	t.Helper()
	p := &process{name: argv[0], output: dir + "/output", ended: make(chan struct{})}
	out, err := os.Create(p.output)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(p.stop)
	return p
}

// stop asks the daemon to end, then makes it, and waits until its children too have let go of the address: the
// next peer may want it.
func (p *process) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(3 * time.Second):
	}
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // the whole group; an error only says that none is left
	<-p.ended
	for limit := time.Now().Add(patience); p.addr != "" && answers(p.addr) && time.Now().Before(limit); {
		time.Sleep(time.Millisecond)
	}
}

// answers tells whether something takes connections at addr.
func answers(addr string) bool {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// listening waits until addr takes TCP connections; from then on, it is the daemon's address.
func (p *process) listening(t testing.TB, addr string) {
	t.Helper()
	p.until(t, "listen on "+addr, func() bool { return answers(addr) })
	p.addr = addr
}

// until polls a fact about the peer; it fails the test when the peer ends or patience does.
func (p *process) until(t testing.TB, what string, fact func() bool) {
	t.Helper()
	limit := time.After(patience)
	for pause := 5 * time.Millisecond; !fact(); pause = min(2*pause, 100*time.Millisecond) {
		select {
		case <-p.ended:
			said, _ := os.ReadFile(p.output)
			t.Fatalf("%s ended before it would %s: %v\n%s", p.name, what, p.cmd.ProcessState, said)
		case <-limit:
			said, _ := os.ReadFile(p.output)
			t.Fatalf("%s did not %s in %v\n%s", p.name, what, patience, said)
		case <-time.After(pause):
		}
	}
}
