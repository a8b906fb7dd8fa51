package peers

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/dnstest"
)

// services are the examples by port.
var services = map[string]string{"25": "smtpd", "587": "submission", "465": "submissions", "110": "pop3d"}

// ours is the text of an example with the paths of m, and the POP3 server that there is.
func (m *mx) ours(name string) string {
	m.t.Helper()
	text, err := os.ReadFile(examples + name)
	if err != nil {
		m.t.Fatal(err)
	}
	return strings.NewReplacer("/var/qmail", string(m.home), "/etc/ssl/mail/cert.pem", m.cert.CertFile, "/etc/ssl/mail/key.pem", m.cert.KeyFile,
		"/usr/local/bin:", m.bin+":"+m.tools+":", "qmail-pop3d", "pop3d").Replace(string(text))
}

// directories copies the examples for a supervisor to where it looks.
func (m *mx) directories(kind string) string {
	m.t.Helper()
	dir := directory(m.t, kind)
	for _, name := range services {
		if err := os.MkdirAll(filepath.Join(dir, name, "log"), 0o755); err != nil {
			m.t.Fatal(err)
		}
		for _, run := range []string{"run", "log/run"} {
			if err := os.WriteFile(filepath.Join(dir, name, run), []byte(m.ours(kind+"/"+name+"/"+run)), 0o755); err != nil {
				m.t.Fatal(err)
			}
		}
		m.logs = append(m.logs, filepath.Join(dir, name, "log/main/current"))
	}
	return dir
}

// world is the environment of a supervisor: what the programs of tests need, and nothing of our own.
func (m *mx) world() []string {
	return append(append([]string{"/usr/bin/env", "-i", "PATH=/usr/bin:/bin"}, slices.DeleteFunc(m.home.Env("", ""), func(v string) bool {
		return strings.HasPrefix(v, "PATH=")
	})...), m.passwords...)
}

// answers waits until all four ports answer, which p cares for, and has a client at each.
func (m *mx) answers(p *process) {
	m.t.Helper()
	for port := range services {
		p.until(m.t, "serve port "+port, func() bool { return answers(mxAddr + ":" + port) })
	}
	secure := []string{"--tls-verify", "--tls-ca-path", m.ca.File}
	auth := append([]string{"--auth", "PLAIN", "--auth-user", "ann", "--auth-password", password}, secure...)
	seen := 0
	for port, c := range map[string]struct {
		args []string
		with string
	}{
		"25": {append([]string{"--tls"}, secure...), "\n  by me.example with ESMTPS; "}, "587": {append([]string{"--tls"}, auth...), "Received: (ofmipd " + mxAddr + "); "},
		"465": {append([]string{"--tls-on-connect"}, auth...), "Received: (ofmipd " + mxAddr + "); "},
	} {
		if code, said := m.swaks(port, c.args...); code != 0 {
			m.t.Fatalf("port %s: exit %d:\n%s\n%s", port, code, said, m.log())
		}
		if got := m.taken(&seen, "you@example.net", "\nbody\n.\nend\n"); !strings.Contains(got.Content, c.with) {
			m.t.Errorf("port %s: %q", port, got.Content)
		}
	}
	if code, said := m.pop3(password); code != 0 || !strings.Contains(said, "popped") {
		m.t.Errorf("port 110: exit %d:\n%s\n%s", code, said, m.log())
	}
	for port, args := range map[string][]string{"587": {"--tls"}, "465": {"--tls-on-connect"}} { // no password
		if code, said := m.swaks(port, append(args, secure...)...); code != 23 || !strings.Contains(said, "530 ") {
			m.t.Errorf("port %s: exit %d:\n%s", port, code, said)
		}
	}
	m.secrets()
}

// free has the test end only when nothing answers at the four ports any more: the tests that come later want them.
func (m *mx) free() {
	m.t.Cleanup(func() {
		for port := range services {
			for limit := time.Now().Add(patience); answers(mxAddr + ":" + port); time.Sleep(time.Millisecond) {
				if time.Now().After(limit) {
					m.t.Errorf("port %s still answers", port)
					return
				}
			}
		}
	})
}

// The service directories under Debian's daemontools, as they are but for paths. A restart is felt by nobody who is
// connected.
func TestDaemontools(t *testing.T) {
	m := newMX(t)
	m.free()
	zone, err := dnstest.ParseZone("20.2.0.192.in-addr.arpa. PTR client.example.\n")
	if err != nil {
		t.Fatal(err)
	}
	dns, err := dnstest.Serve("127.0.0.1:53", zone, dnstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer dns.Close()
	dir := m.directories("daemontools")
	p := launch(t, dir, append(m.world(), "svscan", dir)...)
	t.Cleanup(func() { // before svscan is stopped: supervise has a process group of its own for each
		for _, name := range services {
			exec.Command("/usr/bin/svc", "-dx", filepath.Join(dir, name), filepath.Join(dir, name, "log")).Run()
		}
	})
	m.answers(p)
	c := greeted(t, "25")
	before := m.log()
	if out, err := exec.Command("/usr/bin/svc", "-t", filepath.Join(dir, "smtpd")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p.until(t, "serve port 25 again", func() bool {
		return strings.Count(m.log(), "tcpserver: status: 0/100") > strings.Count(before, "tcpserver: status: 0/100")
	})
	p.until(t, "serve port 25 to all", func() bool { return answers(mxAddr + ":25") })
	if _, err := io.WriteString(c, "NOOP\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); line != "250 ok\r\n" {
		t.Errorf("after svc -t: %q, %v", line, err)
	}
	found := false
	for _, got := range m.home.Messages(t) {
		found = found || strings.HasPrefix(got.Content, "Received: from client.example ("+mxAddr+")\n")
	}
	if !found {
		t.Errorf("nothing from client.example:\n%s", m.log())
	}
}

// The same under Debian's s6.
func TestS6(t *testing.T) {
	m := newMX(t)
	m.free()
	dir := m.directories("s6")
	m.answers(launch(t, dir, append(m.world(), "s6-svscan", dir)...))
}

// unit is what of a socket and its service matters for one connection.
func (m *mx) unit(name string) (port string, env []string, command string) {
	m.t.Helper()
	socket, service := m.ours("systemd/qmail-"+name+".socket"), m.ours("systemd/qmail-"+name+"@.service")
	for line := range strings.Lines(socket + service) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "ListenStream":
			port = value
		case "Environment":
			env = append(env, value)
		case "ExecStart":
			command = strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(value, "/bin/sh -c '"), "'"), "$$", "$")
		}
	}
	return port, env, command
}

// systemd's units are well formed to systemd, and their commands serve connections as it hands them over: there is
// no systemd to be run in a namespace, for it wants control groups.
func TestSystemd(t *testing.T) {
	files, err := filepath.Glob(examples + "systemd/*")
	if err != nil || len(files) != 8 {
		t.Fatalf("%q, %v", files, err)
	}
	if code, said := client(t, "", append([]string{"/usr/bin/systemd-analyze", "verify", "--man=no"}, files...)...); code != 0 || said != "" {
		t.Errorf("exit %d: %s", code, said)
	}
	m := newMX(t)
	m.free()
	m.home.Control(t, "me", "me.example\n")
	var last *process
	for port, name := range services {
		listens, env, command := m.unit(name)
		if listens != port {
			t.Fatalf("%s listens at %s", name, listens)
		}
		argv := append(m.world(), "systemd-socket-activate", "--accept", "--inetd", "--listen="+mxAddr+":"+port)
		for _, v := range append(env, append(m.home.Env("", "")[:2:2], append(m.passwords, "REMOTE_ADDR=::ffff:"+mxAddr, "REMOTE_PORT=4321", "QUEUE_FIRST=", "QUEUE_THEN=")...)...) {
			argv = append(argv, "--setenv="+v)
		}
		last = launch(t, directory(t, name), append(argv, "/bin/sh", "-c", command)...)
		last.listening(t, mxAddr+":"+port)
		m.logs = append(m.logs, last.output)
	}
	m.answers(last)
}
