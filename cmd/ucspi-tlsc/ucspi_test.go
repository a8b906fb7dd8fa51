package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/smtptest"
)

// bin is where TestMain has built this program.
var bin string

func TestMain(m *testing.M) { proctest.Main(m, &bin, "ucspi-tlsc") }

// line is a server's end, in clear or under TLS.
type line struct {
	net.Conn
	r   *bufio.Reader
	raw *ending
}

// ending notes that the client has ended its TCP stream.
type ending struct {
	net.Conn
	ended atomic.Bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	if err == io.EOF {
		e.ended.Store(true)
	}
	return n, err
}

func (l *line) secure(ask tls.ClientAuthType) *tls.Conn {
	conn := tls.Server(l.raw, &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}, ClientAuth: ask})
	l.Conn, l.r = conn, bufio.NewReader(conn)
	conn.Handshake()
	return conn
}

func (l *line) hear() string {
	s, _ := l.r.ReadString('\n')
	return s
}

func (l *line) say(s string) { l.Write([]byte(s)) }

// result is what came of one run.
type result struct {
	code        int
	out, errors string
}

// launch runs ucspi-tlsc with args on a connection to serve. Standard input is in.
func launch(t *testing.T, serve func(*line), env []string, in string, args ...string) result {
	t.Helper()
	conn, f := proctest.Connection(t)
	var server sync.WaitGroup
	server.Go(func() {
		defer conn.Close()
		raw := &ending{Conn: conn}
		serve(&line{Conn: raw, r: bufio.NewReader(raw), raw: raw})
	})
	defer server.Wait()
	cmd := exec.Command(bin+"/ucspi-tlsc", args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	cmd.ExtraFiles = []*os.File{nil, nil, nil, f, f}
	cmd.Stdin = strings.NewReader(in)
	var out, errors bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errors
	cmd.WaitDelay = time.Minute
	err := cmd.Start()
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	return result{cmd.ProcessState.ExitCode(), out.String(), errors.String()}
}

func authority(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, []byte(smtptest.AuthorityPEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func write(t *testing.T, name string, b *pem.Block) string {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
		t.Fatal(err)
	}
	return ""
}

func echo(l *line) {
	l.secure(tls.NoClientCert)
	for s := l.hear(); s != ""; s = l.hear() {
		l.say(s)
	}
}

const talk = `echo hello >&7; read -r x <&6; echo "heard $x"`

func TestAtOnce(t *testing.T) {
	env := []string{"CAFILE=" + authority(t), "SSL_PROTOCOL=stale", "SSLCTLFD=9"}
	r := launch(t, echo, env, "", "-k", "mx.example", "sh", "-c", talk+`; env | grep -E '^(SSL|CAFILE|GOMAX|GOTRACE)' | sort; exit 5`)
	want := []string{"heard hello", "SSL_CIPHER=TLS_", "SSL_PEER_CERT_HASH=SHA256:", "SSL_PEER_CERT_SUBJECT=CN=mx.example", "SSL_PROTOCOL=TLSv1.3", "SSL_TLS_SNI_SERVERNAME=mx.example", "SSL_VERIFIED=pkix"}
	lines := strings.Split(strings.TrimSpace(r.out), "\n")
	if r.code != 5 || r.errors != "" || len(lines) != len(want) {
		t.Fatalf("%+v", r)
	}
	for i, l := range lines {
		if !strings.HasPrefix(l, want[i]) {
			t.Errorf("%s, not %s", l, want[i])
		}
	}
}

// The program is started only on a session.
func TestExitCodes(t *testing.T) {
	ca := authority(t)
	silent := func(l *line) { io.Copy(io.Discard, l) }
	for reason, c := range map[string]struct {
		serve func(*line)
		env   []string
		args  []string
		code  int
		says  string
	}{
		"verified":       {echo, []string{"CAFILE=" + ca}, []string{"-k", "mx.example"}, 0, ""},
		"chain only":     {echo, []string{"CAFILE=" + ca}, nil, 0, ""},
		"not verified":   {echo, nil, []string{"--no-verify-cert", "-k", "other.example"}, 0, ""},
		"wrong name":     {echo, []string{"CAFILE=" + ca}, []string{"-k", "other.example"}, 98, "pkix"},
		"no anchors":     {silent, nil, nil, 96, "CAFILE"},
		"absent anchors": {silent, []string{"CAFILE=/nonexistent/ca"}, nil, 96, "/nonexistent/ca"},
		"CADIR wins":     {silent, []string{"CADIR=/nonexistent/dir", "CAFILE=" + ca}, nil, 96, "/nonexistent/dir"},
		"no certificate": {silent, []string{"CAFILE=" + ca}, []string{"-y"}, 96, "CERTFILE"},
		"absent key":     {silent, []string{"CAFILE=" + ca, "CERTFILE=/nonexistent/c", "KEYFILE=/nonexistent/k"}, []string{"-y"}, 96, "/nonexistent/"},
		"no TLS":         {func(l *line) { l.say("220 hello\r\n"); silent(l) }, []string{"CAFILE=" + ca}, nil, 98, "handshake"},
		"closed":         {func(*line) {}, []string{"CAFILE=" + ca}, nil, 98, "handshake"},
		"time-out":       {silent, []string{"CAFILE=" + ca}, []string{"-K100"}, 98, "timed out"},
		"silent at -v0":  {func(*line) {}, []string{"CAFILE=" + ca}, []string{"-v0"}, 98, ""},
		"improper":       {silent, nil, []string{"-x"}, 100, "usage"},
		"bad policy":     {silent, nil, []string{"-p", "9"}, 100, "policy"},
		"no descriptors": {silent, []string{"CAFILE=" + ca}, []string{"-6", "12", "-7", "13"}, 111, ""},
		"none for delay": {silent, []string{"CAFILE=" + ca}, []string{"-d", "-6", "12", "-7", "13"}, 111, ""},
	} {
		r := launch(t, c.serve, c.env, "", append(c.args, "sh", "-c", "echo started")...)
		if started := r.out == "started\n"; r.code != c.code || started != (c.code == 0) || !strings.Contains(r.errors, c.says) || strings.Count(r.errors, "\n") > 1 || (c.says == "") != (r.errors == "") && c.code != 111 {
			t.Errorf("%s: %+v", reason, r)
		}
	}
	if r := launch(t, echo, []string{"CAFILE=" + ca}, "", "/nonexistent/prog"); r.code != 111 || !strings.Contains(r.errors, "/nonexistent/prog") {
		t.Errorf("no program: %+v", r)
	}
	if r := launch(t, echo, []string{"CAFILE=" + ca}, "", "sh", "-c", "kill -9 $$"); r.code != 128+9 {
		t.Errorf("killed program: %+v", r)
	}
}

func TestClientCertificate(t *testing.T) {
	dir := t.TempDir()
	pair := smtptest.Certificate("client.example")
	certFile, keyFile := filepath.Join(dir, "c"), filepath.Join(dir, "k")
	write(t, certFile, &pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})
	write(t, keyFile, keyBlock(t, pair.PrivateKey))
	env := []string{"CAFILE=" + authority(t), "CERTFILE=" + certFile, "KEYFILE=" + keyFile}
	for option, want := range map[string]int{"-y": 1, "-Y": 0} {
		shown := -1
		r := launch(t, func(l *line) {
			conn := l.secure(tls.RequestClientCert)
			shown = len(conn.ConnectionState().PeerCertificates)
			l.say(l.hear())
		}, env, "", option, "sh", "-c", talk)
		if shown != want || r.out != "heard hello\n" {
			t.Errorf("%s: %d certificates, %+v", option, shown, r)
		}
	}
}

// What the caller gave the program, it has, and nobody else: its output ends
// when it ends.
func TestCallersDescriptors(t *testing.T) {
	r := launch(t, func(l *line) {
		l.secure(tls.NoClientCert)
		l.hear()
		l.hear()
	}, []string{"CAFILE=" + authority(t)}, "from the caller\n",
		"sh", "-c", `read -r x; echo "got $x"; exec >&-; echo a >&7; ls /proc/$PPID/fd >/dev/null && readlink /proc/$PPID/fd/0 /proc/$PPID/fd/1 >&2; echo b >&7`)
	if r.out != "got from the caller\n" || r.errors != "/dev/null\n/dev/null\n" || r.code != 0 {
		t.Errorf("%+v", r)
	}
}

// Ten megabytes each way, at once, through a program that reads only what it can write.
func TestManyBytes(t *testing.T) {
	const size = 10 << 20
	payload := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	var got []byte
	r := launch(t, func(l *line) {
		conn := l.secure(tls.NoClientCert)
		var sending sync.WaitGroup
		sending.Go(func() {
			conn.Write(payload)
			conn.CloseWrite()
		})
		got, _ = io.ReadAll(l.r)
		sending.Wait()
	}, []string{"CAFILE=" + authority(t)}, "", "-S", "sh", "-c", "exec cat <&6 >&7")
	if r.code != 0 || !bytes.Equal(got, payload) {
		t.Errorf("%+v: %d bytes came back", r, len(got))
	}
}

// -S says close_notify, -s only ends the stream; the peer's manners count with -J.
func TestEnds(t *testing.T) {
	env := []string{"CAFILE=" + authority(t)}
	for option, want := range map[string]bool{"-S": false, "-s": true} {
		var rawEnd bool
		launch(t, func(l *line) {
			l.secure(tls.NoClientCert)
			for l.hear() != "" {
			}
			rawEnd = l.raw.ended.Load()
		}, env, "", option, "sh", "-c", "echo x >&7")
		if rawEnd != want {
			t.Errorf("%s: ended without close_notify: %v", option, rawEnd)
		}
	}
	for _, c := range []struct {
		option string
		polite bool
		code   int
	}{{"-J", false, 98}, {"-J", true, 0}, {"-j", false, 0}, {"-j", true, 0}} {
		r := launch(t, func(l *line) {
			conn := l.secure(tls.NoClientCert)
			l.say("text\n")
			if c.polite {
				conn.Close()
			}
			l.raw.Close()
		}, env, "", c.option, "sh", "-c", `while read -r x <&6; do echo "$x"; done`)
		if r.code != c.code || r.out != "text\n" {
			t.Errorf("%s, %v: %+v", c.option, c.polite, r)
		}
	}
}

const clear = `read -r x <&6; echo "clear $x"; echo STARTTLS >&7; read -r x <&6; echo "clear $x"; `

func startTLS(l *line) {
	l.say("220 hello\n")
	l.hear()
	l.say("220 go\n")
}

func TestDelayed(t *testing.T) {
	env := []string{"CAFILE=" + authority(t)}
	secured := func(l *line) { startTLS(l); echo(l) }
	broken := func(l *line) { startTLS(l); l.say("no TLS here\n"); io.Copy(io.Discard, l) }
	const under = `echo hi >&$SSLWRITEFD; read -r x <&$SSLREADFD; echo "tls $x"; `
	for reason, c := range map[string]struct {
		serve func(*line)
		prog  string
		out   string
		code  int
		says  string
	}{
		"y": {secured, clear + `printf y >&$SSLCTLFD; wc -c <&$SSLCTLFD; ` + under + `exit 3`, "clear 220 hello\nclear 220 go\n0\ntls hi\n", 3, ""},
		"Y": {secured, clear + `printf Y >&$SSLCTLFD; tr '\0' '\n' <&$SSLCTLFD | cut -d= -f1 | tr '\n' ' '; echo; ` + under,
			"clear 220 hello\nclear 220 go\nSSL_PROTOCOL SSL_CIPHER SSL_VERIFIED SSL_TLS_SNI_SERVERNAME SSL_PEER_CERT_HASH SSL_PEER_CERT_SUBJECT  \ntls hi\n", 0, ""},
		"declined":    {startTLS, clear + `eval "exec $SSLCTLFD>&-"; exit 4`, "clear 220 hello\nclear 220 go\n", 4, ""},
		"not decided": {startTLS, clear + `exit 5`, "clear 220 hello\nclear 220 go\n", 5, ""},
		"no command":  {startTLS, clear + `printf x >&$SSLCTLFD; wc -c <&$SSLCTLFD; exit 6`, "clear 220 hello\nclear 220 go\n0\n", 6, ""},
		"failed": {broken, clear + `printf Y >&$SSLCTLFD; wc -c <&$SSLCTLFD; read -r x <&$SSLREADFD || echo end; exit 7`,
			"clear 220 hello\nclear 220 go\n0\nend\n", 7, "handshake"},
		"failed in silence": {broken, clear + `printf y >&$SSLCTLFD; read -r x <&$SSLREADFD || echo end; exit 8`,
			"clear 220 hello\nclear 220 go\nend\n", 8, "handshake"},
		"environment": {startTLS, `echo $SSLCTLFD $SSLREADFD $SSLWRITEFD; env | grep -c CAFILE; ` + clear, "3 4 5\n0\nclear 220 hello\nclear 220 go\n", 0, ""},
	} {
		r := launch(t, c.serve, env, "", "-d", "-k", "mx.example", "sh", "-c", c.prog)
		if r.out != c.out || r.code != c.code || !strings.Contains(r.errors, c.says) || (c.says == "") != (r.errors == "") {
			t.Errorf("%s: %+v", reason, r)
		}
	}
}
