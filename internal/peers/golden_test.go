package peers

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"postrider/internal/authtest"
	"postrider/internal/queuetest"
)

// transcript is one session with a chain of our programs, byte for byte.
type transcript struct {
	name    string
	env     string // variables, or "-u NAME", divided by "|"
	setup   string // a command of sh, before
	control control
	chain   string // a command of sh; $T is a directory of its own
	// A line each:
	//
	//	S: text  the program says it
	//	C: text  the client says it
	//	C+ text  so it does, in one segment with what it says next
	//	TLS      the client begins it
	//	END      the client says no more
	//
	// And then the program says no more.
	script string
	exit   int // the exit code

	message  string // what is queued, its times and numbers masked; "" for none
	envelope string // with "|" for NUL
	saw      string // what is in $T/saw then, masked, with "|" for NUL
	log      string // part of it
	user     bool   // it needs a user beside root
}

// carrier is how a client reaches a program.
type carrier interface {
	io.ReadWriter
	end() // the client says no more
	// over gives the program's exit code, and what it logged.
	over(t *testing.T) (exit int, log string)
}

// pipes are two pipes, with no terminal anywhere near.
type pipes struct {
	*os.File // from the program
	to       *os.File
	cmd      *exec.Cmd
	log      bytes.Buffer
}

func newPipes(t *testing.T, argv []string) carrier {
	t.Helper()
	r, theirs, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	in, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &pipes{File: r, to: w, cmd: exec.Command(argv[0], argv[1:]...)}
	t.Cleanup(func() { r.Close(); w.Close() })
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, theirs, &p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	p.cmd.WaitDelay = patience
	err = p.cmd.Start()
	in.Close()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	r.SetDeadline(time.Now().Add(patience))
	return p
}

func (p *pipes) Write(b []byte) (int, error) { return p.to.Write(b) }
func (p *pipes) end()                        { p.to.Close() }

func (p *pipes) over(*testing.T) (int, string) {
	limit := time.AfterFunc(patience, func() { p.cmd.Process.Kill() })
	defer limit.Stop()
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode(), p.log.String()
}

// served is a connection to Debian's tcpserver, which tells how its program has ended.
type served struct {
	*net.TCPConn
	p *process
}

// places are the last bytes of addresses that servers have.
var places atomic.Int32

func newServed(t *testing.T, argv []string) carrier {
	t.Helper()
	addr := "198.51.100." + strconv.Itoa(int(places.Add(1)))
	server := []string{"/usr/bin/env", "-i", TCPServer(t), "-vRHl0", addr, "25"}
	p := launch(t, directory(t, "tcpserver"), append(server, argv...)...)
	p.until(t, "listen", func() bool { // without a connection, which would be a session
		b, err := os.ReadFile(p.output)
		return err == nil && strings.Contains(string(b), "status: 0/")
	})
	c, err := net.Dial("tcp", addr+":25")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return served{c.(*net.TCPConn), p}
}

func (s served) end() { s.CloseWrite() }

func (s served) over(t *testing.T) (exit int, log string) {
	s.p.until(t, "end a session", func() bool {
		b, _ := os.ReadFile(s.p.output)
		log = string(b)
		return strings.Contains(log, "tcpserver: end ")
	})
	_, rest, _ := strings.Cut(log, "tcpserver: end ")
	var pid, status int // of wait(2)
	if _, err := fmt.Sscanf(rest, "%d status %d", &pid, &status); err != nil {
		t.Fatalf("%v: %s", err, log)
	}
	if ws := syscall.WaitStatus(status); !ws.Exited() {
		return -1, log
	}
	return status >> 8, log
}

// plain is what package tls needs of a connection, whatever carries it.
type plain struct{ carrier }

func (plain) Close() error                     { return nil }
func (plain) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (plain) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (plain) SetDeadline(time.Time) error      { return nil } // each carrier has one for all
func (plain) SetReadDeadline(time.Time) error  { return nil }
func (plain) SetWriteDeadline(time.Time) error { return nil }

// masks are for what is different each time.
var masks = []struct {
	re *regexp.Regexp
	by string
}{
	{regexp.MustCompile(`<\d+\.\d{10}@`), "<PID.TIME@"},
	{regexp.MustCompile(`250 ok \d{10} qp \d+`), "250 ok TIME qp PID"},
	{regexp.MustCompile(`\d{1,2} \w{3} 20\d\d \d\d:\d\d:\d\d -0000`), "DATE"},
	{regexp.MustCompile(`<\d{14}\.(\d+)\.\d+\.qmail@`), "<TIME.$1.PID.qmail@"},
}

func masked(s string) string {
	for _, m := range masks {
		s = m.re.ReplaceAllString(s, m.by)
	}
	return s
}

// golden is what transcripts share.
type golden struct {
	path, cert, key string
	trust           *tls.Config
}

var goldenPrograms = sync.OnceValues(func() (string, error) {
	bin, err := bins()
	for _, name := range []string{"authup", "qmail-popup"} {
		if err == nil {
			err = os.Symlink("qmail-authup", filepath.Join(bin, name))
		}
	}
	return bin, err
})

func newGolden(t *testing.T) golden {
	t.Helper()
	dir, err := tools()
	bin, berr := goldenPrograms()
	if err := errors.Join(err, berr); err != nil {
		t.Fatal(err)
	}
	ca := NewAuthority(t)
	pair := ca.Issue(t, mxName)
	pem, err := os.ReadFile(ca.File)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return golden{bin + ":" + dir + ":/usr/bin:/bin", pair.CertFile, pair.KeyFile, &tls.Config{ServerName: mxName, RootCAs: pool}}
}

// play runs a transcript over a carrier.
func (g golden) play(t *testing.T, c transcript, carry func(*testing.T, []string) carrier) {
	home, dir := queuetest.New(t), directory(t, "golden")
	for name, text := range c.control {
		home.Control(t, name, text+"\n")
	}
	saw := filepath.Join(dir, "saw")
	users := filepath.Join(dir, "users")
	write(t, users, "u:p::/\njoe blow:a b c::/\nsomebody:p:12345:/\n")
	write(t, saw, "")
	if err := errors.Join(os.Chmod(string(home), 0o755), os.Chmod(filepath.Dir(string(home)), 0o755), os.Chmod(dir, 0o777), os.Chmod(saw, 0o666),
		os.Chmod(filepath.Join(string(home), "queue"), 0o777)); err != nil {
		t.Fatal(err)
	}
	argv := append([]string{"/usr/bin/env"}, strings.FieldsFunc(c.env, func(r rune) bool { return r == '|' })...)
	for _, v := range append(home.Env("", ""), "PATH="+g.path, "T="+dir, authtest.PasswordFile+"="+users, "CERTFILE="+g.cert, "KEYFILE="+g.key) {
		if name, _, _ := strings.Cut(v, "="); !strings.Contains("|"+c.env, "|"+name+"=") {
			argv = append(argv, v)
		}
	}
	argv = append(argv, "sh", "-c", c.setup+"\nexec "+c.chain)
	conn := carry(t, argv)
	if said, err := g.follow(plain{conn}, c.script); err != nil {
		conn.end()
		_, log := conn.over(t)
		t.Fatalf("%v\n%s\n%s", err, said, log)
	}
	exit, log := conn.over(t)
	if exit != c.exit || !strings.Contains(log, c.log) {
		t.Errorf("exit %d, want %d, and %q in\n%s", exit, c.exit, c.log, log)
	}
	if b, err := os.ReadFile(saw); err != nil || masked(strings.ReplaceAll(string(b), "\x00", "|")) != c.saw {
		t.Errorf("saw %q, %v, want %q", b, err, c.saw)
	}
	if c.message == "" {
		for _, m := range home.Messages(t) {
			if m.Taken {
				t.Errorf("queued %+v", m)
			}
		}
		return
	}
	if m := home.Only(t); masked(m.Content) != c.message || strings.ReplaceAll(m.Envelope, "\x00", "|") != c.envelope {
		t.Errorf("%q, want %q\n%s\nwant\n%s", m.Envelope, c.envelope, masked(m.Content), c.message)
	}
}

// follow is the client, to the program's end. It gives what was said.
func (g golden) follow(conn plain, script string) (said string, err error) {
	said, wire, err := g.converse(conn, script)
	if err != nil {
		return said, err
	}
	rest, err := io.ReadAll(wire)
	if len(rest) > 0 || err != nil && !errors.Is(err, syscall.ECONNRESET) { // we may have said more than was read
		return said, fmt.Errorf("heard %q more, %v", rest, err)
	}
	return said, nil
}

// converse is the client, to the end of script. It gives what was said, and what is still to be read from.
func (g golden) converse(conn plain, script string) (said string, rest io.Reader, err error) {
	var wire net.Conn = conn
	r := bufio.NewReader(conn)
	held := ""
	for line := range strings.Lines(strings.Trim(script, "\n")) {
		line = strings.TrimSuffix(strings.TrimLeft(line, "\t"), "\n")
		what, text, _ := strings.Cut(line, " ")
		switch what {
		case "":
		case "C+":
			held += text + "\r\n"
		case "C:":
			_, err = io.WriteString(wire, held+text+"\r\n")
			held = ""
		case "S:":
			var got string
			got, err = r.ReadString('\n')
			if got = masked(got); err == nil && got != text+"\r\n" {
				err = fmt.Errorf("heard %q, want %q", got, text)
			}
		case "TLS":
			secure := tls.Client(conn, g.trust)
			err = secure.Handshake()
			wire, r = secure, bufio.NewReader(secure)
		case "END":
			conn.end()
		default:
			err = errors.New("not a line of a script")
		}
		said += line + "\n"
		if err != nil {
			return said, r, err
		}
	}
	return said, r, nil
}

// TestGolden plays transcripts of the original programs, with what they did
// wrong put right, on pipes and under tcpserver.
func TestGolden(t *testing.T) {
	g := newGolden(t)
	for _, list := range [][]transcript{authupTranscripts(), fixsmtpioTranscripts(t), smtpdTranscripts(), ofmipdTranscripts(), otherTranscripts()} {
		for _, c := range list {
			for how, carry := range map[string]func(*testing.T, []string) carrier{"pipes": newPipes, "tcpserver": newServed} {
				t.Run(c.name+"/"+how, func(t *testing.T) {
					t.Parallel()
					if c.user || strings.Contains(c.script, "TLS\n") {
						ordinary(t, "a program that gives up root's rights")
					}
					g.play(t, c, carry)
				})
			}
		}
	}
}
