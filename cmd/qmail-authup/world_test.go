package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/authtest"
	"postrider/internal/proctest"
)

// bin has the built programs, and those of authtest.
var bin string

func TestMain(m *testing.M) {
	authtest.Main()
	authtest.Run(m, &bin, func(dir string) error {
		return errors.Join(
			proctest.Build(dir, "qmail-authup", "checknotroot", "fixsmtpio", "qmail-smtpd", "qmail-ofmipd", "ucspi-tlsd", "ucspi-tlsd-io"),
			os.Symlink("qmail-authup", filepath.Join(dir, "authup")),
			os.Symlink("qmail-authup", filepath.Join(dir, "qmail-popup")))
	})
}

// patience bounds every wait for something that must come.
const patience = time.Minute

// place is a qmail home, and users for checkpassword.
type place struct{ home, passwords, saw string }

// settle makes a place that every user may look into.
func settle(t *testing.T) place {
	t.Helper()
	dir, err := os.MkdirTemp("", "authup")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := place{filepath.Join(dir, "qmail"), filepath.Join(dir, "passwords"), filepath.Join(dir, "saw")}
	for _, d := range []string{"qmail/control", "joe"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	os.Chmod(dir, 0o755)
	uid := ""
	if os.Getuid() == 0 {
		uid = "12345" // nobody's
	}
	for name, text := range map[string]string{
		p.home + "/control/me":               "me.example\n",
		p.home + "/control/smtpcapabilities": "PIPELINING\n8BITMIME\n",
		p.home + "/control/pop3capabilities": "TOP\nUIDL\n",
		p.passwords:                          "u:p::/\njoe:hunter2 is the password:" + uid + ":" + dir + "/joe\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p place) env(more ...string) []string {
	return append(more, "QMAILHOME="+p.home, "PATH="+bin+":/usr/bin:/bin", authtest.PasswordFile+"="+p.passwords, authtest.SawFile+"="+p.saw)
}

// session is one run of a program, a client at its descriptors 0 and 1.
type session struct {
	*net.UnixConn
	cmd *exec.Cmd
	log bytes.Buffer
}

// begin runs a program of bin on a socket; files become its descriptors from 3 on.
func (p place) begin(t *testing.T, env []string, files []*os.File, args ...string) *session {
	t.Helper()
	client, theirs := proctest.Socketpair(t)
	s := &session{UnixConn: client, cmd: p.command(env, args...)}
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = theirs, theirs, &s.log
	s.cmd.ExtraFiles = files
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	s.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { s.cmd.Process.Kill() })
	return s
}

// send says lines.
func send(c io.Writer, lines ...string) {
	io.WriteString(c, strings.Join(lines, "\r\n")+"\r\n")
}

// hear reads one line, without its end; a byte at a time, so that nothing is
// taken from whoever reads next.
func hear(t *testing.T, c io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("%v after %q", err, line)
		}
		if b[0] == '\n' {
			return strings.TrimSuffix(string(line), "\r")
		}
	}
}

// expect hears lines.
func expect(t *testing.T, c io.Reader, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if got := hear(t, c); got != want {
			t.Fatalf("heard %q, want %q", got, want)
		}
	}
}

// end ends the client's side and gives what is said until the program ends, and
// its exit code.
func (s *session) end(t *testing.T) (rest string, code int) {
	t.Helper()
	s.CloseWrite()
	b, err := io.ReadAll(s)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Wait()
	return string(b), s.cmd.ProcessState.ExitCode()
}

// command is a program of bin, with its environment.
func (p place) command(env []string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(bin, args[0]), args[1:]...)
	cmd.Args[0] = args[0]
	cmd.Env = p.env(env...)
	return cmd
}

// piped runs a program on pipes, all that the client says waiting there.
func (p place) piped(env []string, in string, args ...string) (out string, code int) {
	cmd := p.command(env, args...)
	cmd.Stdin = strings.NewReader(in)
	b, _ := cmd.Output()
	return string(b), cmd.ProcessState.ExitCode()
}
