package peers

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// programs builds the commands once and returns their directory, from which they can be run.
var programs = sync.OnceValues(func() (string, error) {
	bin := filepath.Join(work, "bin")
	cmd := exec.Command("go", "build", "-o", bin+"/", "postrider/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.Stderr.Write(out)
		return "", err
	}
	return bin, os.Link(bin+"/qmail-remote-io", bin+"/qmail-smtpc")
})

func program(t testing.TB, name string) string {
	t.Helper()
	bin, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(bin, name)
}

// control are control files by name; home makes a qmail home of them.
type control map[string]string

func (c control) home(t testing.TB) string {
	t.Helper()
	home := directory(t, "home")
	for _, d := range []string{"control", "queue/lock", "run/qmail-remote"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, home+"/control/me", "mail.example.org\n")
	write(t, home+"/queue/lock/tcpto", string(make([]byte, 1024)))
	for name, text := range c {
		write(t, filepath.Join(home, "control", name), text+"\n")
	}
	return home
}

// delivery is one run of qmail-remote.
type delivery struct {
	home   string
	host   string
	sender string
	rcpts  []string
	text   string
}

func (d delivery) command(t testing.TB) *exec.Cmd {
	t.Helper()
	path := program(t, "qmail-remote")                          // the first time it is built, which is no part of the delivery
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience) // a delivery that hangs fails its own test only
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, append([]string{d.host, d.sender}, d.rcpts...)...)
	cmd.Cancel = func() error {
		if !t.Failed() && t.Context().Err() == nil { // the first to hang tells of all
			t.Errorf("%q does not end\n%s", cmd.Args, stuck())
		}
		return cmd.Process.Kill()
	}
	cmd.Env = []string{"QMAILHOME=" + d.home, "DNSCACHEIP=127.0.0.1", "PATH=/usr/bin:/bin"}
	cmd.Stdin = message(t, d.text)
	return cmd
}

// message opens a file with text: qmail hands over a file, of which everything can be known in advance.
func message(t testing.TB, text string) *os.File {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mess")
	write(t, name, text)
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// run delivers and returns the reports; qmail-remote always ends with status 0.
func (d delivery) run(t testing.TB) reports {
	t.Helper()
	return output(t, d.command(t))
}

func output(t testing.TB, cmd *exec.Cmd) reports {
	t.Helper()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out // one pipe, as under qmail-rspawn
	if err := cmd.Run(); err != nil {
		t.Errorf("%v: %v", cmd.Args, err)
	}
	return reports(out.String())
}

// reports is what qmail-remote prints: records that end with NUL.
type reports string

// letters are the first bytes of the records.
func (r reports) letters() string {
	var letters []byte
	for record := range strings.SplitSeq(strings.TrimSuffix(string(r), "\x00"), "\x00") {
		if record != "" {
			letters = append(letters, record[0])
		}
	}
	return string(letters)
}

// want fails the test unless the reports have these letters and contain text.
func (r reports) want(t testing.TB, letters, text string) {
	t.Helper()
	if r.letters() != letters || !strings.Contains(string(r), text) {
		t.Errorf("reports %q, want letters %s and %q", r, letters, text)
	}
}

// arrived fails the test unless exactly these recipients have text, with trace in each Received.
func arrived(t testing.TB, s *Server, text, trace string, rcpts ...string) {
	t.Helper()
	got := s.Wait(t, len(rcpts))
	missing := map[string]bool{}
	for _, r := range rcpts {
		missing[r] = true
	}
	for _, m := range got {
		if !missing[m.Recipient] {
			t.Errorf("delivered more than asked for: %+q", m)
		}
		delete(missing, m.Recipient)
		if m.Text != text || !strings.Contains(strings.ToUpper(m.Trace), trace) {
			t.Errorf("%s has %q by %q, want %q by %s", m.Recipient, m.Text, m.Trace, text, trace)
		}
	}
	if len(missing) > 0 {
		t.Errorf("not delivered: %v\n%s", missing, s.Log())
	}
}

const where = "192.0.2.10:25"

var routed = control{"smtproutes": ":192.0.2.10"}

// with returns the control files and one more.
func (c control) with(name, text string) control {
	more := control{name: text}
	for n, t := range c {
		if n != name {
			more[n] = t
		}
	}
	return more
}

func TestRemoteDelivers(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			ca := NewAuthority(t)
			secure := ServerConfig{Listen: where, Cert: ca.Issue(t, "mx.example.net")}
			for _, c := range []struct {
				name   string
				server ServerConfig
				files  control
				rcpts  []string
				text   string
				trace  string
				report string
			}{
				{"in clear", ServerConfig{Listen: where}, routed, []string{"you@example.net"}, sample, "WITH ESMTP", "250"},
				{"no anchors, no STARTTLS", secure, routed, []string{"you@example.net"}, sample, "WITH ESMTP", "250"},
				{"STARTTLS", secure, routed.with("trustanchors", ca.File), []string{"you@example.net"}, sample, "WITH ESMTPS", "TLS: TLSv1.3"},
				{"many recipients at once", secure, routed.with("trustanchors", ca.File),
					[]string{"a@example.net", "b@example.net", "c@example.net"}, sample, "WITH ESMTPS", "TLS: TLSv1.3"},
				{"SMTPUTF8", secure, routed.with("trustanchors", ca.File), []string{"jürgen@example.net"}, sample, "WITH UTF8", "TLS: TLSv1.3"},
				{"8 bits", secure, routed, []string{"you@example.net"}, "Subject: x\n\ngrün\n", "WITH ESMTP", "250"},
				{"large", secure, routed.with("trustanchors", ca.File), []string{"you@example.net"},
					sample + strings.Repeat(strings.Repeat("x", 70)+"\n.\n", 30000), "WITH ESMTPS", "TLS: TLSv1.3"},
				{"no body", secure, routed, []string{"you@example.net"}, "Subject: x\n\n", "WITH ESMTP", "250"},
			} {
				t.Run(c.name, func(t *testing.T) {
					p := s.start(t, c.server)
					d := delivery{c.files.home(t), "example.net", "me@example.org", c.rcpts, c.text}
					d.run(t).want(t, strings.Repeat("r", len(c.rcpts))+"K", c.report)
					arrived(t, p, c.text, c.trace, c.rcpts...)
					if s.name == "Exim" { // L: commands were pipelined; K: BDAT carried the content
						checkEximFlags(t, p)
					}
				})
			}
		})
	}
}

// A message from a pipe has no length beforehand: no SIZE and no BDAT, and the server finds out what is too large.
func TestRemoteDeliversFromAPipe(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t, ServerConfig{Listen: where, SizeLimit: 50000})
			try := func(text string) reports {
				cmd := delivery{routed.home(t), "example.net", "me@example.org", []string{"you@example.net"}, ""}.command(t)
				cmd.Stdin = strings.NewReader(text)
				return output(t, cmd)
			}
			try(sample+strings.Repeat("0123456789\n", 5000)).want(t, "rD", "552")
			try(sample).want(t, "rK", "250")
			arrived(t, p, sample, "WITH ESMTP", "you@example.net")
		})
	}
}

// checkEximFlags reads from Exim's line of acceptance whether PIPELINING and CHUNKING were used.
func checkEximFlags(t *testing.T, s *Server) {
	t.Helper()
	for line := range strings.Lines(s.Log()) {
		if !strings.Contains(line, " <= ") {
			continue
		}
		if !strings.Contains(line, " L") || !strings.Contains(line, " K ") {
			t.Errorf("without PIPELINING (L) or CHUNKING (K): %s", line)
		}
		return
	}
	t.Errorf("nothing accepted:\n%s", s.Log())
}

func TestRemoteIsRefused(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			p := s.start(t, ServerConfig{
				Listen: where, SizeLimit: 50000, NoSMTPUTF8: true,
				Reject: []string{"no@example.net"}, TempReject: []string{"later@example.net"},
			})
			home := routed.home(t)
			long := sample + strings.Repeat("0123456789\n", 5000)
			for _, c := range []struct {
				name    string
				rcpts   []string
				text    string
				letters string
				report  string
			}{
				{"recipient refused", []string{"no@example.net"}, sample, "hD", "550"},
				{"recipient deferred", []string{"later@example.net"}, sample, "sD", "450"},
				{"both, no third", []string{"later@example.net", "no@example.net"}, sample, "shD", "Giving up on 192.0.2.10"},
				{"too large", []string{"you@example.net"}, long, "D", "#5.3.4"},
				{"no SMTPUTF8", []string{"jürgen@example.net"}, sample, "D", "#5.6.7"},
				{"partial last line", []string{"you@example.net"}, sample + "end", "D", "#5.6.2"},
			} {
				t.Run(c.name, func(t *testing.T) {
					d := delivery{home, "example.net", "me@example.org", c.rcpts, c.text}
					d.run(t).want(t, c.letters, c.report)
				})
			}
			d := delivery{home, "example.net", "", []string{"no@example.net", "you@example.net", "later@example.net"}, sample}
			d.run(t).want(t, "hrsK", "accepted message")
			arrived(t, p, sample, "WITH ESMTP", "you@example.net")
		})
	}
}

func TestRemoteAuthenticates(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			ca := NewAuthority(t)
			p := s.start(t, ServerConfig{
				Listen: where, Cert: ca.Issue(t, "mx.example.net"), Users: map[string]string{"ann": "secret"},
			})
			files := control{"trustanchors": ca.File}
			try := func(route string) reports {
				return delivery{files.with("smtproutes", route).home(t), "example.net", "me@example.org", []string{"you@example.net"}, sample}.run(t)
			}
			try(":192.0.2.10|ann|wrong").want(t, "Z", "535")
			if r := try(":192.0.2.10"); !strings.HasSuffix(r.letters(), "D") { // at MAIL or at RCPT, as the server likes
				t.Errorf("without a password: %q", r)
			}
			try(":192.0.2.10|ann|secret").want(t, "rK", "TLS: TLSv1.3")
			arrived(t, p, sample, "SA", "you@example.net") // ESMTPSA, RFC 3848
		})
	}
}

func TestRemoteShowsItsCertificate(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			ca := NewAuthority(t)
			p := s.start(t, ServerConfig{Listen: where, Cert: ca.Issue(t, "mx.example.net"), ClientAnchor: ca.File})
			mine := ca.Issue(t, "client.example.org")
			try := func(files control) reports {
				return delivery{files.home(t), "example.net", "me@example.org", []string{"you@example.net"}, sample}.run(t)
			}
			files := routed.with("trustanchors", ca.File)
			if r := try(files); strings.Contains(r.letters(), "K") {
				t.Errorf("without a certificate: %q", r)
			}
			try(files.with("clientcert", mine.CertFile).with("clientkey", mine.KeyFile)).want(t, "rK", "TLS: TLSv1.3")
			arrived(t, p, sample, "WITH ESMTPS", "you@example.net")
		})
	}
}

func TestTinycdbReadsOurRoutes(t *testing.T) {
	home := control{"smtproutes": "Example.NET:relay.example:2525\n.example.org:[192.0.2.10]\n:192.0.2.99|ann|secret"}.home(t)
	delivery{home, "x.example.org", "", []string{"you@x.example.org"}, sample}.run(t).want(t, "Z", "#4.4.1")
	dump, err := exec.Command(CDB(t), "-d", home+"/run/qmail-remote/smtproutes.cdb").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range []string{ // cdbmake's form: +key,data:key->data
		"+12,16:example.net\x00->\x09\xddrelay.example\x00\n",
		"+13,13:.example.org\x00->\x00\x19192.0.2.10\x00\n",
		"+1,24:\x00->\x00\x19192.0.2.99\x00ann\x00secret\x00\n",
	} {
		if !strings.Contains(string(dump), record) {
			t.Errorf("tinycdb dumps %q, want %q in it", dump, record)
		}
	}
	if out, err := exec.Command(CDB(t), "-s", home+"/run/qmail-remote/smtproutes.cdb").CombinedOutput(); err != nil {
		t.Errorf("tinycdb's statistics: %v: %s", err, out)
	}
}

func TestTCPClientRunsOurClient(t *testing.T) {
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			ca := NewAuthority(t)
			p := s.start(t, ServerConfig{Listen: where, Cert: ca.Issue(t, "mx.example.net")})
			talk := []string{program(t, "qmail-smtpc"), "-h", "mail.example.org", "mx.example.net", "me@example.org"}
			try := func(rcpt string, before ...string) reports {
				args := append([]string{"-RHl0", "192.0.2.10", "25"}, before...)
				cmd := exec.Command(TCPClient(t), append(append(args, talk...), rcpt)...)
				cmd.Env = []string{"CAFILE=" + ca.File}
				cmd.Stdin = message(t, sample)
				return output(t, cmd)
			}
			try("clear@example.net").want(t, "rK", "250")
			try("tls@example.net", program(t, "ucspi-tlsc"), "-d", "-k", "mx.example.net").want(t, "rK", "TLS: TLSv1.3")
			for _, m := range p.Wait(t, 2) {
				if tls := strings.Contains(strings.ToUpper(m.Trace), "ESMTPS"); m.Text != sample || tls != (m.Recipient == "tls@example.net") {
					t.Errorf("delivered %+q", m)
				}
			}
		})
	}
}
