package authup

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/inbound"
	"postrider/internal/authtest"
)

// programs is the directory of checkpassword and of server.
var programs string

func TestMain(m *testing.M) {
	authtest.Main()
	Seal() // as main does; whoever runs the tests may have left something open
	authtest.Run(m, &programs, nil)
}

// talk is one session to be held.
type talk struct {
	Config
	env  []string // beside PATH and the password file
	fail error    // of Load
}

// result is what came of it.
type result struct {
	said string
	code int
	log  string
	saw  []string // what checkpassword was given, a line each
}

// submission is a talk as most tests want it.
func submission() talk {
	return talk{Config: Config{
		Protocol: SMTP, Greeting: "me.example", Capabilities: []string{"PIPELINING", "8BITMIME"},
		Patience: time.Minute, Command: []string{"checkpassword", "server", "235 ok, go ahead (#2.0.0)"},
	}}
}

func popbox() talk {
	return talk{Config: Config{
		Protocol: POP3, Greeting: "me.example", Capabilities: []string{"TOP", "UIDL"},
		Patience: time.Minute, Command: []string{"checkpassword", "server", "+OK "},
	}}
}

// hold holds the session with client on the other end of a socket, or, with
// pipes, of two pipes as a TLS helper gives them. It returns when both are done.
func (k talk) hold(t testing.TB, pipes bool, client func(io.ReadWriteCloser)) result {
	t.Helper()
	dir := t.TempDir()
	saw, passwords := filepath.Join(dir, "saw"), filepath.Join(dir, "passwords")
	logged := open(t, filepath.Join(dir, "log"))
	if err := os.WriteFile(passwords, []byte("u:p::/\njoe blow:a b c::/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ours, theirs := wire(t, pipes)
	env := append(k.env, "PATH="+programs+":/usr/bin:/bin", authtest.PasswordFile+"="+passwords, authtest.SawFile+"="+saw)
	var server sync.WaitGroup
	r := result{code: -1}
	server.Go(func() {
		r.code = Serve(k.Config, World{
			Wire: &inbound.Descriptors{In: ours[0], Out: ours[1]}, Errors: int(logged.Fd()),
			Env: env, PID: 18154, Now: time.Unix(1795174845, 0),
		}, k.fail)
		for _, fd := range ours {
			syscall.Close(fd)
		}
	})
	heard := &recorder{ReadWriteCloser: theirs}
	client(heard)
	io.Copy(io.Discard, heard)
	server.Wait()
	theirs.Close()
	r.said = heard.heard.String()
	text, _ := os.ReadFile(logged.Name())
	r.log = string(text)
	text, _ = os.ReadFile(saw)
	r.saw = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return r
}

func open(t testing.TB, name string) *os.File {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// recorder keeps what was read.
type recorder struct {
	io.ReadWriteCloser
	heard bytes.Buffer
}

func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.ReadWriteCloser.Read(p)
	r.heard.Write(p[:n])
	return n, err
}

// end is the client's: Close ends what it sends.
type end struct{ r, w *os.File }

func (e *end) Read(p []byte) (int, error)  { return e.r.Read(p) }
func (e *end) Write(p []byte) (int, error) { return e.w.Write(p) }
func (e *end) Close() error {
	if e.r != e.w {
		return e.w.Close()
	}
	raw, err := e.w.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_WR) })
}

// wire makes a client's connection: the server's descriptors, in blocking mode,
// and the client's end.
func wire(t testing.TB, pipes bool) (ours [2]int, theirs *end) {
	t.Helper()
	if !pipes {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		again, err := syscall.Dup(pair[0])
		if err != nil {
			t.Fatal(err)
		}
		syscall.CloseOnExec(again)
		syscall.SetNonblock(pair[1], true)
		f := os.NewFile(uintptr(pair[1]), "client")
		t.Cleanup(func() { f.Close() })
		return [2]int{pair[0], again}, &end{f, f}
	}
	var down, up [2]int
	for _, p := range []*[2]int{&down, &up} {
		if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
	}
	syscall.SetNonblock(up[0], true)
	syscall.SetNonblock(down[1], true)
	r, w := os.NewFile(uintptr(up[0]), "client"), os.NewFile(uintptr(down[1]), "client")
	t.Cleanup(func() { r.Close(); w.Close() })
	return [2]int{down[0], up[1]}, &end{r, w}
}

// play holds a session in step, all at once and byte by byte. A script is lines
// "C: " and "S: "; the last, "exit N". All must give the same.
func (k talk) play(t *testing.T, script string) {
	t.Helper()
	sends, want, code := parse(t, script)
	for _, c := range []struct {
		how    string
		pipes  bool
		client func(io.ReadWriteCloser)
	}{
		{"in step", false, inStep(script)},
		{"at once", false, inPieces(sends, len(sends))},
		{"at once", true, inPieces(sends, len(sends))},
		{"byte by byte", false, inPieces(sends, 1)},
	} {
		r := k.hold(t, c.pipes, c.client)
		if r.said != want || r.code != code {
			t.Errorf("%s, pipes %v: exit %d, want %d; said\n%s\nwant\n%s\nlog\n%s", c.how, c.pipes, r.code, code, r.said, want, r.log)
		}
	}
}

func parse(t *testing.T, script string) (sends, want string, code int) {
	t.Helper()
	code = -2
	for line := range strings.Lines(strings.TrimSpace(script)) {
		line = strings.TrimSuffix(line, "\n")
		switch what, rest, _ := strings.Cut(strings.TrimLeft(line, "\t"), ": "); {
		case what == "C":
			sends += unquote(rest) + "\r\n"
		case what == "S":
			want += rest + "\r\n"
		default:
			if _, err := fmt.Sscanf(what, "exit %d", &code); err != nil {
				t.Fatalf("no line of a script: %q", line)
			}
		}
	}
	return sends, want, code
}

// unquote turns the \0 of a script into a NUL.
func unquote(s string) string { return strings.ReplaceAll(s, `\0`, "\x00") }

// inStep is a client that waits for what the script lets the server say before
// it goes on, and ends when it has nothing more to send.
func inStep(script string) func(io.ReadWriteCloser) {
	return func(c io.ReadWriteCloser) {
		defer c.Close()
		lines := strings.Split(strings.TrimSpace(script), "\n")
		left := strings.Count(script, "C: ")
		for _, line := range lines {
			line = strings.TrimLeft(line, "\t")
			if left == 0 {
				return
			}
			if send, ok := strings.CutPrefix(line, "C: "); ok {
				io.WriteString(c, unquote(send)+"\r\n")
				left--
			} else if strings.HasPrefix(line, "S: ") {
				for b := []byte{0}; b[0] != '\n'; {
					if _, err := c.Read(b); err != nil {
						return
					}
				}
			}
		}
	}
}

// inPieces is a client that sends without waiting, in pieces of n bytes.
func inPieces(s string, n int) func(io.ReadWriteCloser) {
	return func(c io.ReadWriteCloser) {
		var writer sync.WaitGroup
		defer writer.Wait()
		writer.Go(func() {
			defer c.Close()
			for b := range slices.Chunk([]byte(s), max(n, 1)) {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		})
		io.Copy(io.Discard, c)
	}
}
