package chain

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/proctest"
	"postrider/internal/smtp"
	"postrider/internal/smtptest"
	"postrider/remote"
	"postrider/smtpc"
	"postrider/tlspolicy"
)

// patience is for helpers and servers that answer, on the busiest of machines.
const patience = 2 * time.Minute

// bin is where TestMain has built the helpers.
var bin string

func TestMain(m *testing.M) {
	if os.Args[0] == "ucspi-tlsc" {
		spy()
	}
	if argv := os.Getenv("CHAIN_TEST_DELIVER"); argv != "" {
		deliverAsChild(argv)
		os.Exit(0)
	}
	// Whatever our helpers leave behind becomes our child: see noProcesses.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	proctest.Main(m, &bin, "ucspi-tlsc", "qmail-remote-io")
}

// noProcesses waits until every process that was started below us has ended. A
// helper that lives on makes it wait for ever, and the test fails by its time limit.
func noProcesses(t *testing.T) {
	t.Helper()
	for {
		_, err := syscall.Wait4(-1, nil, 0, nil)
		switch err {
		case syscall.ECHILD:
			return
		case nil, syscall.EINTR:
		default:
			t.Fatal(err)
		}
	}
}

// peer is the server's end of one conversation. Its methods end the server's
// goroutine with the connection closed when the client does not do its part.
type peer struct {
	net.Conn // raw or TLS
	raw      net.Conn
	r        *bufio.Reader
	t        *testing.T
}

type hungUp struct{}

// server answers one connection by script and returns our end of it, and a
// function that waits for the script's end.
func server(t *testing.T, script func(p *peer)) (conn net.Conn, wait func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		raw, err := l.Accept()
		l.Close()
		if err != nil {
			t.Error(err)
			return
		}
		defer raw.Close()
		defer func() {
			if r := recover(); r != nil && r != (hungUp{}) {
				panic(r)
			}
		}()
		script(&peer{Conn: raw, raw: raw, r: bufio.NewReader(raw), t: t})
	}()
	t.Cleanup(func() { <-done })
	conn, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return conn, func() { <-done }
}

func (p *peer) secure(name string) {
	conn := tls.Server(p.raw, &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate(name)}})
	if conn.Handshake() != nil {
		panic(hungUp{})
	}
	p.Conn, p.r = conn, bufio.NewReader(conn)
}

func (p *peer) say(lines ...string) {
	if _, err := p.Write([]byte(strings.Join(lines, "\r\n") + "\r\n")); err != nil {
		panic(hungUp{})
	}
}

func (p *peer) line() string {
	s, err := p.r.ReadString('\n')
	if err != nil {
		panic(hungUp{})
	}
	return strings.TrimSuffix(s, "\r\n")
}

func (p *peer) hear(verb string) string {
	line := p.line()
	if !strings.HasPrefix(line, verb) {
		p.t.Errorf("server heard %q, wants %s", line, verb)
		panic(hungUp{})
	}
	return line
}

// upTo carries the conversation on up to the client's command verb, which is
// heard and not answered; "" is to the end.
func (p *peer) upTo(verb string) {
	for _, step := range []struct{ hear, say string }{
		{"EHLO", "250-mx.example\r\n250-PIPELINING\r\n250 8BITMIME"},
		{"MAIL", "250 ok"}, {"RCPT", "250 ok"}, {"DATA", "354 go"}, {".", "250 taken"}, {"QUIT", "221 bye"},
	} {
		if step.hear == "." {
			p.body()
		} else {
			p.hear(step.hear)
		}
		if step.hear == verb {
			return
		}
		p.say(step.say)
	}
}

func (p *peer) body() string {
	var b strings.Builder
	for {
		line := p.line()
		if line == "." {
			return b.String()
		}
		b.WriteString(line + "\n")
	}
}

// rest hears until the client is gone, and returns what it said.
func (p *peer) rest() string {
	var b bytes.Buffer
	b.ReadFrom(p.r)
	return b.String()
}

// silence wants nothing to come any more.
func (p *peer) silence() {
	if said := p.rest(); said != "" {
		p.t.Errorf("server heard %q", said)
	}
}

const text = "Subject: x\n\nhello\n.\n"

// handover is a delivery of content over conn, with a policy that anybody's
// certificate satisfies.
func handover(t *testing.T, conn net.Conn, content string) (*Chain, *remote.Handover) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	m, err := smtp.OpenMessage(f)
	if err != nil {
		t.Fatal(err)
	}
	return &Chain{Dir: at(bin), Message: int(f.Fd())}, &remote.Handover{
		Conn:     conn,
		Policy:   &tlspolicy.Policy{Mode: tlspolicy.Opportunistic, ServerName: "mx.example"},
		Params:   smtpc.Params{Helo: "client.example", Timeout: patience},
		Envelope: smtp.Envelope{Sender: "me@client.example", Rcpts: []string{"you@mx.example"}},
		Message:  m,
	}
}

func anchors(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "anchors.pem")
	if err := os.WriteFile(name, []byte(smtptest.AuthorityPEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// helper returns the process id of a program below us, by its name.
func helper(t *testing.T, name string) int {
	t.Helper()
	pids := proctest.Running(t, filepath.Join(bin, name))
	if len(pids) == 0 {
		t.Errorf("no process %s", name)
		return 1 << 30 // nobody's
	}
	return pids[0]
}

// at is where a Chain's programs stand.
func at(dir string) func() string { return func() string { return dir } }

// deliverAsChild is what this test program does when it stands for
// qmail-remote: argv is the server's address and a message file.
func deliverAsChild(argv string) {
	addr, dir, _ := strings.Cut(argv, " ")
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	m, err := smtp.OpenMessage(os.Stdin)
	if err != nil {
		panic(err)
	}
	tx := (&Chain{Dir: at(dir)}).Converse(context.Background(), &remote.Handover{
		Conn:     conn,
		Policy:   &tlspolicy.Policy{Mode: tlspolicy.Opportunistic},
		Params:   smtpc.Params{Helo: "client.example", Timeout: patience},
		Envelope: smtp.Envelope{Sender: "me@client.example", Rcpts: []string{"you@mx.example"}},
		Message:  m,
	})
	fmt.Println(tx.Stage, tx.Fault, tx.Detail)
}
