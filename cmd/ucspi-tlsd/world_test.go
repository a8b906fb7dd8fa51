package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/smtptest"
)

// patience bounds whatever a test waits for.
const patience = 2 * time.Minute

// early and plain are directories of built programs: with ucspi-tlsd-io's
// instructions before the runtime, as make builds it, and without.
var early, plain string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ucspi-tlsd")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if err := os.Chmod(dir, 0o755); err != nil { // tests give up root's rights
			panic(err)
		}
		early, plain = dir+"/early", dir+"/plain"
		build(early+"/ucspi-tlsd", ".", "")
		build(plain+"/ucspi-tlsd", ".", "")
		build(plain+"/ucspi-tlsd-io", "../ucspi-tlsd-io", "")
		flags := ""
		if runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") {
			flags = "-E postrider_start"
		}
		build(early+"/ucspi-tlsd-io", "../ucspi-tlsd-io", flags)
		return m.Run()
	}())
}

func build(to, pkg, flags string) {
	cmd := exec.Command("go", "build", "-ldflags", flags, "-o", to, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		panic(err)
	}
}

// served is one connection that a program serves under ucspi-tlsd.
type served struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer // standard error of all
	raw  *net.TCPConn // the client's end
	conn net.Conn     // raw, or TLS over it
	r    *bufio.Reader
}

// serve connects a client to bin/ucspi-tlsd with args, the program among them,
// as a UCSPI server would.
func serve(t *testing.T, bin string, env []string, args ...string) *served {
	t.Helper()
	client, f := proctest.Connection(t)
	defer f.Close()
	r := &served{t: t, raw: client, conn: client, r: bufio.NewReader(client)}
	ctx, cancel := context.WithTimeout(context.Background(), patience) // ends a program that hangs, and the test
	t.Cleanup(cancel)
	r.cmd = exec.CommandContext(ctx, bin+"/ucspi-tlsd", args...)
	r.cmd.Env = append([]string{"PATH=/usr/bin:/bin", "TCPREMOTEIP=192.0.2.1"}, env...)
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr = f, f, &r.log
	client.SetDeadline(time.Now().Add(patience))
	// &r.log is a pipe that every process has as descriptor 2, and Wait waits for
	// its end: nothing is left behind where Wait returns.
	r.cmd.WaitDelay = patience
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return r
}

// end hangs up and waits for every process. It gives the exit code and what was
// logged.
func (r *served) end() (int, string) {
	r.t.Helper()
	r.conn.Close()
	r.raw.Close()
	return r.over()
}

// over waits for every process: the program, and whoever has its standard error.
func (r *served) over() (int, string) {
	r.t.Helper()
	if err := r.cmd.Wait(); errors.Is(err, context.DeadlineExceeded) || errors.Is(err, exec.ErrWaitDelay) {
		r.t.Fatalf("a process is left behind: %v; %s", err, r.log.String())
	}
	return r.cmd.ProcessState.ExitCode(), r.log.String()
}

func (r *served) say(text string) {
	r.t.Helper()
	if _, err := r.conn.Write([]byte(text)); err != nil {
		r.t.Fatalf("say %q: %v", text, err)
	}
}

// hear reads a line; "" is the end.
func (r *served) hear() string {
	line, _ := r.r.ReadString('\n')
	return strings.TrimSuffix(line, "\n")
}

// hears wants lines.
func (r *served) hears(want ...string) {
	r.t.Helper()
	for _, w := range want {
		if got := r.hear(); got != w {
			r.t.Errorf("heard %q, want %q", got, w)
		}
	}
}

// config trusts smtptest's authority.
func config(name string) *tls.Config { return smtptest.Believer(name) }

// secure does a handshake that must succeed.
func (r *served) secure(c *tls.Config) *tls.Conn {
	r.t.Helper()
	conn := tls.Client(r.raw, c)
	if err := conn.Handshake(); err != nil {
		code, log := r.end()
		r.t.Fatalf("handshake: %v; exit %d: %s", err, code, log)
	}
	r.conn, r.r = conn, bufio.NewReader(conn)
	return conn
}

// pair writes a certificate with its chain, and its key, and gives the paths.
func pair(t *testing.T, c tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	var certs []byte
	for _, der := range c.Certificate {
		certs = append(certs, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	der, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return file(t, certs), file(t, key)
}

// file writes a file that only its owner may read, below directories that all
// may search.
func file(t *testing.T, text []byte) string {
	t.Helper()
	dir, err := os.MkdirTemp(filepath.Dir(early), "files")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// keys is the environment of a server that has mx.example's certificate.
func keys(t *testing.T) []string {
	t.Helper()
	cert, key := pair(t, smtptest.Certificate("mx.example"))
	return []string{"CERTFILE=" + cert, "KEYFILE=" + key}
}

// starttls is a program that says something in clear, starts TLS when it hears a
// line, tells what it was answered, and goes on. Without a session it says so,
// and goes on in clear.
const starttls = `echo 220 clear; read -r x; echo 220 go; printf Y >&$SSLCTLFD
records=$(tr '\0' '\n' <&$SSLCTLFD)
if [ -z "$records" ]; then echo 454 no TLS; read -r x; echo "clear $x"; exit 7; fi
eval "exec <&$SSLREADFD >&$SSLWRITEFD $SSLREADFD<&- $SSLWRITEFD>&- $SSLCTLFD>&-"
echo "$records"; echo .
`

const echo = `while read -r x; do echo "heard $x"; [ "$x" != quit ] || exit 5; done; exit 6`
