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
	for _, pattern := range []string{"daemontools/*/run", "daemontools/*/log/run", "s6/*/run", "s6/*/log/run", "systemd/*.service"} {
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
