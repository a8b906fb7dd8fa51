package spawn

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	engineVar = "SPAWN_TEST_ENGINE" // makes of the test program an engine
	calmVar   = "SPAWN_TEST_CALM"   // that is not killed
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(engineVar); dir != "" {
		os.Exit(testEngine(dir))
	}
	os.Exit(m.Run())
}

// slots is how many deliveries the engines of TestProcesses run.
const slots = 30

// testEngine is an engine that is killed at a random moment, and whose
// deliveries can kill it: by a signal, by what no recover catches, by leaving.
func testEngine(dir string) int {
	mess, err := os.OpenRoot(dir)
	if err != nil {
		return 111
	}
	var out io.Writer = os.Stdout
	if os.Getenv(calmVar) == "" {
		out = abrupt{}
		moment := time.Duration(rand.IntN(60)) * time.Millisecond
		time.AfterFunc(moment, func() { syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	}
	q := Queue{Mess: mess, Owner: uint32(os.Getuid())}
	err = Serve(context.Background(), os.Stdin, out, Config{Limit: slots, Queue: q}, deliverer(unruly))
	if err != nil {
		return 111
	}
	return 0
}

// abrupt is standard output, where some writes are cut by death.
type abrupt struct{}

func (abrupt) Write(b []byte) (int, error) {
	if rand.IntN(100) > 0 {
		return os.Stdout.Write(b)
	}
	os.Stdout.Write(b[:rand.IntN(len(b)+1)])
	return 0, syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func unruly(_ context.Context, d Delivery) []byte {
	time.Sleep(time.Duration(rand.IntN(3000)) * time.Microsecond)
	switch {
	case d.Host == "stops":
		syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		select {} // until it has taken effect
	case d.Host != "unruly":
	case rand.IntN(4) == 0:
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case rand.IntN(3) == 0:
		go panic("not on a delivery's own stack")
		select {}
	case rand.IntN(2) == 0:
		os.Exit(0)
	default:
		panic("on its own")
	}
	return []byte("K" + d.Recipient + "\n")
}

// TestProcesses: the same as TestKills, with real processes, pipes and signals.
func TestProcesses(t *testing.T) {
	t.Setenv(engineVar, queue(t).Mess.Name())
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fromSender, toFront, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	fromFront, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile("/dev/null", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr // what the engines say of their ends
	os.Stderr = null
	defer func() { os.Stderr = stderr }()
	engines := 0
	var front sync.WaitGroup
	front.Go(func() {
		runtime.LockOSThread() // never unlocked: nothing else comes to live there
		Front{Limit: slots, Patience: time.Millisecond, Start: func() (*Engine, error) {
			engines++
			return StartEngine(self, []string{"engine"})
		}}.Run(fromSender, out)
		out.Close()
	})
	s := newSender(t, slots, toFront, fromFront)
	const asked = 4000
	for i := range asked {
		host := "b"
		if rand.IntN(200) == 0 {
			host = "unruly"
		}
		s.ask(fmt.Sprintf("%d@%s", i, host))
	}
	said := s.finish()
	front.Wait()
	own := 0
	for rcpt, line := range said {
		switch line {
		case "K" + rcpt + "\n":
			own++
		case crashed:
		default:
			t.Errorf("%s: %q", rcpt, line)
		}
	}
	t.Logf("%d engines, %d deliveries reported, %d crashed", engines, own, len(said)-own)
	if len(said) != asked || engines < 10 || own == 0 || own == asked {
		t.Errorf("%d of %d answered", len(said), asked)
	}
}

// TestStopped: a process that stands still is ended, whoever stopped it.
func TestStopped(t *testing.T) {
	t.Setenv(engineVar, queue(t).Mess.Name())
	t.Setenv(calmVar, "yes")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var engine *Engine
	var out strings.Builder
	Front{Limit: 2, Silence: time.Second, Start: func() (*Engine, error) {
		engine, err = StartEngine(self, []string{"engine"})
		return engine, err
	}}.Run(strings.NewReader(stream(order(0, "1/1", "a@stops"), order(1, "1/1", "a@stops"))), &out)
	says(t, []byte(out.String()), map[byte][]string{0: {hung}, 1: {hung}})
	if _, err := engine.Commands.Write([]byte{0}); err == nil {
		t.Error("it can still be told what to do")
	}
}

// TestNoEngine: a program that is not there, or is no engine, costs deferrals.
func TestNoEngine(t *testing.T) {
	for path, want := range map[string]string{"/nonexistent": "Zqmail-spawn unable to fork. (#4.3.0)\n", "/bin/false": crashed, "/bin/cat": crashed} {
		var out strings.Builder
		Front{Limit: 1, Start: func() (*Engine, error) { return StartEngine(path, []string{"engine"}) }}.
			Run(strings.NewReader(stream(order(0, "1/1", "a@b"))), &out)
		says(t, []byte(out.String()), map[byte][]string{0: {want}})
	}
}

// endPID ends a process that a test's script left, whose number is in file.
func endPID(t testing.TB, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || pid < 2 {
		t.Fatalf("%q, %v", b, err)
	}
	syscall.Kill(pid, syscall.SIGKILL)
}
