package main

import (
	"bytes"
	"crypto/tls"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/queuetest"
	"postrider/internal/smtptest"
)

// bin holds the built programs.
var bin string

func TestMain(m *testing.M) {
	proctest.Main(m, &bin, "qmail-smtpd", "qmail-remote-io", "ucspi-tlsd", "ucspi-tlsd-io")
}

// dated is what differs each time.
var dated = regexp.MustCompile(`250 ok \d+ qp \d+|\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d -0000`)

func mask(s string) string { return dated.ReplaceAllString(s, "X") }

// command is qmail-smtpd below home, in this environment.
func command(t *testing.T, home queuetest.Home, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "qmail-smtpd"))
	cmd.Env = append(home.Env("", ""), env...)
	cmd.WaitDelay = time.Minute
	return cmd
}

const session = "EHLO client.example\r\nMAIL FROM:<me@here>\r\nRCPT TO:<@r:\"a b\"@c>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n"

const (
	said     = "220 me.example ESMTP\r\n250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n250 ok\r\n250 ok\r\n354 go ahead\r\nX\r\n221 me.example\r\n"
	content  = "Received: from Client.Example (1.2.3.4)\n  by loc.al with ESMTP; X\nSubject: x\n\n.dot\n"
	peername = "TCPREMOTEHOST=Client.Example"
)

func TestPipes(t *testing.T) {
	home := queuetest.New(t)
	cmd := command(t, home, "TCPREMOTEIP=1.2.3.4", peername, "TCPLOCALHOST=loc.al", "RELAYCLIENT=@rel")
	cmd.Stdin = strings.NewReader(session)
	out, err := cmd.Output()
	if mask(string(out)) != said || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	m := home.Only(t)
	if mask(m.Content) != content || m.Envelope != queuetest.Envelope("me@here", "a b@c@rel") {
		t.Errorf("%+v", m)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		in, home, want string
		code           int
	}{
		{"QUIT\r\n", "", "221 me.example\r\n", 0},
		{"", "", "220 me.example ESMTP\r\n", 1},
		{"NOOP\r\n", "", "250 ok\r\n", 1},
		{"GET / HTTP/1.0\r\n\r\n", "", "221 this server speaks SMTP only (#4.7.0)\r\n", 1},
		{"", "QMAILHOME=/nonexistent", "421 unable to read controls (#4.3.0)\r\n", 1},
	} {
		cmd := command(t, queuetest.New(t), c.home)
		cmd.Stdin = strings.NewReader(c.in)
		out, _ := cmd.Output()
		if !strings.HasSuffix(string(out), c.want) || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%q: %q, %v", c.in, out, cmd.ProcessState)
		}
	}
	cmd := command(t, queuetest.New(t))
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	cmd.Stdout = w // nobody reads, and SIGPIPE is not how it ends
	cmd.Run()
	w.Close()
	if cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("with nobody to speak to: %v", cmd.ProcessState)
	}
}

// connect joins qmail-smtpd with qmail-smtpc, which sends content.
func connect(t *testing.T, home queuetest.Home, content []byte) (report string) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "server"), os.NewFile(uintptr(fds[1]), "client")
	smtpd := command(t, home)
	smtpd.Stdin, smtpd.Stdout, smtpd.Stderr = ours, ours, os.Stderr
	if err := smtpd.Start(); err != nil {
		t.Fatal(err)
	}
	ours.Close()
	file := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	message, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer message.Close()
	smtpc := exec.CommandContext(t.Context(), filepath.Join(bin, "qmail-remote-io"), "-h", "client.example", "mx", "me@here", "you@there", `odd "one@there`)
	smtpc.Stdin = message
	smtpc.ExtraFiles = []*os.File{nil, nil, nil, theirs, theirs}
	out, err := smtpc.Output()
	theirs.Close()
	if err != nil {
		t.Errorf("qmail-smtpc: %v", err)
	}
	smtpd.Wait() // its code is of no interest: the client does not wait for the reply to QUIT
	return string(out)
}

// What our client sends is what our server queues, byte for byte, but for a CR
// alone, which the client makes a line end.
func TestClientAndServer(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	contents := [][]byte{
		nil, []byte("\n"), []byte(".\n"), []byte("..\n.\n\n.a\n"), []byte("a\r\nb\r\n"), []byte("a\rb\n.\r.\n\r\n.\r\nc\n"),
		[]byte("\x00\xff\x80 8 bits\n"), append(bytes.Repeat([]byte("x"), 1<<20), '\n'), bytes.Repeat([]byte(".\n"), 100_000),
	}
	for range 12 {
		b := make([]byte, random.IntN(20_000))
		for i := range b {
			b[i] = "\r\n..a\x00\xe9 "[random.IntN(8)]
		}
		contents = append(contents, append(b, '\n'))
	}
	for i, content := range contents {
		home := queuetest.New(t)
		if report := connect(t, home, content); !strings.HasPrefix(report, "r\x00r\x00K") {
			t.Fatalf("%d: %q", i, report)
		}
		m := home.Only(t)
		_, got, _ := strings.Cut(m.Content, "-0000\n")
		want := strings.ReplaceAll(strings.ReplaceAll(string(content), "\r\n", "\n"), "\r", "\n")
		if got != want || m.Envelope != queuetest.Envelope("me@here", "you@there", `odd "one@there`) {
			t.Errorf("%d: %d bytes sent, %d queued, envelope %q", i, len(want), len(got), m.Envelope)
		}
	}
}

// S4: a session with STARTTLS under our own UCSPI-TLS server.
func TestSTARTTLS(t *testing.T) {
	home := queuetest.New(t)
	conn, program := proctest.Socketpair(t)
	cmd := command(t, home, append(smtptest.OnDisk(t, "mx.example"), "UCSPITLS=!")...)
	cmd.Args = []string{"ucspi-tlsd", filepath.Join(bin, "qmail-smtpd")}
	cmd.Path = filepath.Join(bin, "ucspi-tlsd")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = program, program, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	program.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	c := smtptest.NewClient(t, conn)
	c.Say("MAIL FROM:<evil>|STARTTLS")
	c.Hears("220 me.example ESMTP", "530 Must start TLS first (#5.7.0)", "220 Ready to start TLS (#5.7.0)")
	secure := tls.Client(conn, smtptest.Believer("mx.example"))
	if _, err := io.WriteString(secure, session); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(secure)
	if _, want, _ := strings.Cut(said, "\n"); mask(string(out)) != want {
		t.Errorf("%q, %v", out, err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	m := home.Only(t)
	if want := "Received: from unknown (HELO client.example) (unknown)\n  by unknown with ESMTPS; X\nSubject: x\n\n.dot\n"; mask(m.Content) != want {
		t.Errorf("%q", m.Content)
	}
	if m.Envelope != queuetest.Envelope("me@here", "a b@c") || !strings.Contains(m.Env, "SSL_PROTOCOL=") {
		t.Errorf("%+v", m)
	}
}
