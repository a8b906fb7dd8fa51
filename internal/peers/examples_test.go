package peers

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const examples = "../../examples/"

// scripts are the run files, and what systemd's units hand to sh.
func scripts(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"daemontools/*/run", "daemontools/*/log/run", "s6/*/run", "systemd/*.service"} {
		files, err := filepath.Glob(examples + pattern)
		if err != nil || len(files) != 4 {
			t.Fatalf("%s: %q, %v", pattern, files, err)
		}
		for _, f := range files {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			all[f] = string(text)
			if !strings.HasSuffix(f, ".service") {
				if info, err := os.Stat(f); err != nil || info.Mode()&0o111 != 0o111 {
					t.Errorf("%s cannot be run: %v", f, err)
				}
				continue
			}
			_, command, ok := strings.Cut(string(text), "\nExecStart=/bin/sh -c '")
			command, rest, quoted := strings.Cut(command, "'")
			if !ok || !quoted || rest != "\n" || strings.Contains(strings.ReplaceAll(command, "$$", ""), "$") {
				t.Errorf("%s: %q", f, text)
			}
			all[f] = strings.ReplaceAll(command, "$$", "$")
		}
	}
	return all
}

// Every example is a shell script, and runs programs that exist, in an order that keeps the rights apart.
func TestExamplesAreWellFormed(t *testing.T) {
	for name, text := range scripts(t) {
		check := exec.Command("/bin/sh", "-n")
		check.Stdin = strings.NewReader(text)
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
		words := strings.Join(strings.Fields(strings.ReplaceAll(text, "\\\n", " ")), " ")
		if strings.Contains(name, "/log/") {
			continue
		}
		at := func(what string) int { return strings.LastIndex(words, what) }
		tls, program := at(" ucspi-tlsd "), max(at(" qmail-smtpd"), at(" qmail-ofmipd"), at(" qmail-pop3d"))
		drop := max(at("setuidgid qmaild "), at(" setpriv "), at(" checkpassword "))
		if tls < 0 || drop < tls || program < drop || !strings.Contains(words, "SSL_UID=") {
			t.Errorf("%s: the TLS process starts at %d, rights are given up at %d, the program runs at %d", name, tls, drop, program)
		}
		whole, err := os.ReadFile(name)
		if atOnce, asks := strings.Contains(words, "ucspi-tlsd -t "), strings.Contains(string(whole), "\nUCSPITLS=") || strings.Contains(string(whole), "\nEnvironment=UCSPITLS="); err != nil || atOnce == asks {
			t.Errorf("%s: TLS at once and STARTTLS, or neither", name)
		}
	}
	sockets, err := filepath.Glob(examples + "systemd/*.socket")
	if err != nil || len(sockets) != 4 {
		t.Fatalf("%q, %v", sockets, err)
	}
	for _, s := range sockets {
		text, err := os.ReadFile(s)
		if err != nil || !strings.Contains(string(text), "\nAccept=yes\n") {
			t.Errorf("%s: %v: %s", s, err, text)
		}
	}
}

// here is an example with the paths of m, and on its address.
func (m *mx) here(name string) []string {
	m.t.Helper()
	text, err := os.ReadFile(examples + name)
	if err != nil {
		m.t.Fatal(err)
	}
	replace := strings.NewReplacer("QMAIL=/var/qmail", "QMAIL="+string(m.home), "/etc/ssl/mail/cert.pem", m.cert.CertFile, "/etc/ssl/mail/key.pem", m.cert.KeyFile,
		"/usr/local/bin:", m.bin+":"+m.tools+":", " 0 25 ", " "+mxAddr+" 25 ", " 0 587 ", " "+mxAddr+" 587 ", " 0 465 ", " "+mxAddr+" 465 ", " 0 110 ", " "+mxAddr+" 110 ", "qmail-pop3d", "pop3d")
	script := filepath.Join(directory(m.t, "service"), "run")
	if err := os.WriteFile(script, []byte(replace.Replace(string(text))), 0o755); err != nil {
		m.t.Fatal(err)
	}
	return []string{script}
}

// The run files for daemontools, as they are but for paths and address, and a client at each.
func TestExamplesRun(t *testing.T) {
	m := newMX(t)
	home := m.home.Env("", "")
	for port, name := range map[string]string{"25": "smtpd", "587": "submission", "465": "submissions", "110": "pop3d"} {
		argv := append([]string{"/usr/bin/env", "-i"}, append(home, m.passwords...)...)
		p := launch(t, directory(t, name), append(argv, m.here("daemontools/"+name+"/run")...)...)
		p.listening(t, mxAddr+":"+port)
		m.logs = append(m.logs, p.output)
	}
	secure := []string{"--tls-verify", "--tls-ca-path", m.ca.File}
	auth := append([]string{"--auth", "PLAIN", "--auth-user", "ann", "--auth-password", password}, secure...)
	seen := 0
	for port, args := range map[string][]string{"25": append([]string{"--tls"}, secure...), "587": append([]string{"--tls"}, auth...), "465": append([]string{"--tls-on-connect"}, auth...)} {
		if code, said := m.swaks(port, args...); code != 0 {
			t.Fatalf("port %s: exit %d:\n%s\n%s", port, code, said, m.log())
		}
		m.taken(&seen, "you@example.net", "\nbody\n.\nend\n")
	}
	if code, said := m.pop3(password); code != 0 || !strings.Contains(said, "popped") {
		t.Errorf("port 110: exit %d:\n%s\n%s", code, said, m.log())
	}
	m.secrets()
}
