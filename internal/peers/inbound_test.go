package peers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/authtest"
	"postrider/internal/proctest"
	"postrider/internal/queuetest"
)

// The address and the names of the server that the inbound half is here.
const (
	mxAddr = "192.0.2.20"
	mxName = "mx.example.net"
)

// password is ann's, and nowhere to be found but in the connection.
const password = "sesame-4815162342"

// mx is a machine that receives mail, by Debian's tcpserver, ucspi-tlsd and our servers.
type mx struct {
	t         *testing.T
	ca        *Authority
	cert      KeyPair
	home      queuetest.Home
	env       []string
	passwords []string // checkpassword's part of env
	logs      []string // files
	bin       string   // the directory of our programs
	tools     string   // the directory of checkpassword and others
}

// tools are checkpassword and a POP3 server, for all tests.
var tools = sync.OnceValues(func() (string, error) {
	dir, err := authtest.Install()
	if err != nil {
		return "", err
	}
	return dir, os.Link(filepath.Join(dir, "server"), filepath.Join(dir, "pop3d"))
})

// bins are our programs as make builds them: ucspi-tlsd-io waits before the Go runtime begins.
var bins = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(work, "inbound")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	return bin, proctest.Build(bin, "ucspi-tlsd", "ucspi-tlsd-io", "qmail-smtpd", "qmail-authup", "qmail-ofmipd", "checknotroot",
		"fixsmtpio", "smtpd-starttls-proxy-io", "qmail-qfilter-addtlsheader")
})

// newMX prepares one. Its key is readable by root only, its mail is written by qmaild, TLS is tlsd's.
func newMX(t *testing.T) *mx {
	t.Helper()
	ordinary(t, "a server with users")
	dir, err := tools()
	if err != nil {
		t.Fatal(err)
	}
	bin, err := bins()
	if err != nil {
		t.Fatal(err)
	}
	m := &mx{t: t, ca: NewAuthority(t), home: queuetest.New(t), bin: bin, tools: dir}
	m.cert = m.ca.Issue(t, mxName)
	qmaild, tls := account(t, "qmaild"), account(t, "tlsd")
	users := filepath.Join(string(m.home), "users")
	write(t, users, "ann:"+password+":"+strconv.Itoa(qmaild)+":/\nroot:"+password+":0:/\n")
	if err := errors.Join(os.Chmod(m.cert.KeyFile, 0o600), os.Chmod(users, 0o600),
		os.Chmod(string(m.home), 0o755), os.Chmod(filepath.Dir(string(m.home)), 0o755), os.Chown(filepath.Join(string(m.home), "queue"), qmaild, qmaild)); err != nil {
		t.Fatal(err)
	}
	m.home.Control(t, "rcpthosts", "example.net\n")
	m.home.Control(t, "smtpcapabilities", "PIPELINING\n8BITMIME\n")
	m.home.Control(t, "pop3capabilities", "TOP\nUIDL\n")
	m.passwords = []string{authtest.PasswordFile + "=" + users}
	m.env = append(append(m.home.Env("", ""), m.passwords...), "PATH="+bin+":"+dir+":/usr/bin:/bin",
		"CERTFILE="+m.cert.CertFile, "KEYFILE="+m.cert.KeyFile, fmt.Sprint("SSL_UID=", tls), fmt.Sprint("SSL_GID=", tls))
	return m
}

// serve runs chain for connections to port; setting is UCSPITLS, "" for one that is not set.
func (m *mx) serve(port, setting string, chain ...string) {
	m.t.Helper()
	dir := directory(m.t, "port"+port)
	argv := append([]string{"/usr/bin/env", "-i"}, m.env...)
	if setting != "" {
		argv = append(argv, setting)
	}
	argv = append(argv, TCPServer(m.t), "-vRHl"+mxName, "-c400", "-b400", mxAddr, port)
	p := launch(m.t, dir, append(argv, chain...)...)
	p.listening(m.t, mxAddr+":"+port)
	m.logs = append(m.logs, p.output)
}

// all serves on the usual ports.
func (m *mx) all() {
	m.t.Helper()
	submission := []string{"qmail-authup", "smtp", "checkpassword", "checknotroot", "qmail-ofmipd"}
	m.serve("25", "UCSPITLS=", "ucspi-tlsd", SetUIDGID(m.t), "qmaild", "qmail-smtpd")
	m.serve("587", "UCSPITLS=!", append([]string{"ucspi-tlsd"}, submission...)...)
	m.serve("465", "", append([]string{"ucspi-tlsd", "-t"}, submission...)...)
	m.serve("110", "UCSPITLS=!", "ucspi-tlsd", "qmail-authup", "pop3", "checkpassword", "checknotroot", "pop3d")
}

// log is what all servers have logged.
func (m *mx) log() string {
	text := ""
	for _, l := range m.logs {
		b, err := os.ReadFile(l)
		if err != nil {
			m.t.Fatal(err)
		}
		text += string(b)
	}
	return text
}

// taken fails the test unless exactly one new message, to rcpt, is in the queue, and ends in text. It gives the message.
func (m *mx) taken(seen *int, rcpt, text string) queuetest.Message {
	m.t.Helper()
	list := m.home.Messages(m.t)
	if len(list) != *seen+1 {
		m.t.Fatalf("%d messages, want %d\n%s", len(list), *seen+1, m.log())
	}
	*seen++
	got := list[len(list)-1]
	if !got.Taken || !strings.HasSuffix(got.Content, text) || !strings.Contains(got.Envelope, "\x00T"+rcpt+"\x00\x00") {
		m.t.Errorf("got %+v", got)
	}
	return got
}

// pop3d is the process where it runs under that name: a POP3 server, behind authorization, with one message (RFC 1939).
func pop3d() {
	if filepath.Base(os.Args[0]) != "pop3d" {
		return
	}
	say := func(lines ...string) { os.Stdout.WriteString(strings.Join(lines, "\r\n") + "\r\n") }
	say("+OK")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimRight(in.Text(), "\r")), " "); verb {
		case "STAT":
			say("+OK 1 13")
		case "LIST":
			say("+OK", "1 13", ".")
		case "RETR":
			say("+OK", "Subject: "+os.Getenv("AUTHUP_USER"), "", "popped", ".")
		case "CAPA":
			say("+OK", "TOP", "UIDL", ".")
		case "QUIT":
			say("+OK")
			os.Exit(0)
		default:
			say("-ERR")
		}
	}
	os.Exit(0)
}

// secrets looks for the password, and for the key, where nobody should find them: in the arguments and the environment
// of every process, in the log, and in what checkpassword's kin can see.
func (m *mx) secrets() {
	m.t.Helper()
	for _, what := range []string{"cmdline", "environ"} {
		files, err := filepath.Glob("/proc/[0-9]*/" + what)
		if err != nil || len(files) < 4 {
			m.t.Fatalf("%v, %v", files, err)
		}
		for _, f := range files { // some are gone, and some are gone by now
			if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), password) {
				m.t.Errorf("%s has the password: %q", f, b)
			}
		}
	}
	if log := m.log(); strings.Contains(log, password) || strings.Contains(log, "PRIVATE KEY") {
		m.t.Errorf("the log has a secret: %s", log)
	}
}

// owners counts the processes of a program, whose name has at most 15 bytes, by user.
func owners(t *testing.T, program string) map[int]int {
	t.Helper()
	exes, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		t.Fatal(err)
	}
	count := map[int]int{}
	for _, e := range exes {
		b, err := os.ReadFile(e)
		status, serr := os.ReadFile(filepath.Dir(e) + "/status")
		name := strings.TrimSpace(string(b))
		if err != nil || serr != nil || name != program {
			continue
		}
		if strings.Contains(string(status), "\nState:\tZ") {
			continue // it has ended, and is about to be waited for
		}
		_, rest, _ := strings.Cut(string(status), "\nUid:\t")
		uid, _, _ := strings.Cut(rest, "\t")
		n, err := strconv.Atoi(uid)
		if err != nil {
			t.Fatalf("%s: %q", e, uid)
		}
		count[n]++
	}
	return count
}

// owned waits until one process of a program is there, which is uid's: what calls that only looked whether there is a
// server have begun is over then.
func owned(t *testing.T, program string, uid int) {
	t.Helper()
	var got map[int]int
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(5 * time.Millisecond) {
		if got = owners(t, program); got[uid] == 1 && len(got) == 1 {
			return
		}
	}
	t.Errorf("%s is of %v, not of %d alone", program, got, uid)
}

// greeted dials and hears a greeting.
func greeted(t *testing.T, port string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", mxAddr+":"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || len(line) < 5 {
		t.Fatalf("greeted with %q, %v", line, err)
	}
	return c
}
