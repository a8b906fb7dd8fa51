package main

import (
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func itoa(n int) string { return strconv.Itoa(n) }

// What a client has sent behind STARTTLS in one segment is no TLS, and is never
// heard as if it had come under it (RFC 3207 §4.2).
func TestInjection(t *testing.T) {
	r := serve(t, early, keys(t), "sh", "-c", starttls+echo)
	r.hears("220 clear")
	r.say("STARTTLS\nRCPT TO:<evil>\n")
	r.hears("220 go")
	if conn := tls.Client(r.raw, config("mx.example")); conn.Handshake() == nil {
		t.Error("a handshake succeeded over injected text")
	}
	if code, log := r.end(); code != 7 || !strings.Contains(log, "tls: ") || strings.Contains(log, "heard") {
		t.Errorf("exit %d: %s", code, log)
	}
}

// A handshake that fails, in clear: the program hears so, and nothing stays.
func TestFailedHandshake(t *testing.T) {
	for reason, c := range map[string]struct {
		args []string
		sign string
		send func(*served)
	}{
		"silence":  {[]string{"-K200"}, "timed out", func(*served) {}},
		"nonsense": {nil, "TLS handshake", func(r *served) { r.say("EHLO x\r\n") }},
		"hang-up":  {nil, "EOF", func(r *served) { r.raw.CloseWrite() }},
	} {
		r := serve(t, early, keys(t), append(c.args, "sh", "-c", `printf Y >&$SSLCTLFD; [ -z "$(cat <&$SSLCTLFD)" ] && exit 9`)...)
		c.send(r)
		if code, log := r.over(); code != 9 || !strings.Contains(log, c.sign) {
			t.Errorf("%s: exit %d: %s", reason, code, log)
		}
	}
}

// A program that dies while the handshake hangs takes the TLS process with it,
// with no time-out at all.
func TestDeathDuringHandshake(t *testing.T) {
	r := serve(t, early, keys(t), "-K0", "sh", "-c", `printf Y >&$SSLCTLFD; kill -9 $$`)
	r.over()
	r = serve(t, early, keys(t), "-K0", "sh", "-c", `printf y >&$SSLCTLFD; exit 3`)
	if code, _ := r.over(); code != 3 {
		t.Errorf("exit %d", code)
	}
	r = serve(t, early, keys(t), "-tK0", "echo", "started")
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	r.over()
}

// In every ending nothing is left behind, and both sides hear of it: over waits
// for all processes.
func TestEndings(t *testing.T) {
	const waits = `echo hello; cat >/dev/null; exit 4`
	for what, c := range map[string]struct {
		prog string
		end  func(r *served, conn *tls.Conn)
		code int
	}{
		"client says close_notify":    {waits, func(_ *served, conn *tls.Conn) { conn.CloseWrite() }, 4},
		"client ends the stream":      {waits, func(r *served, _ *tls.Conn) { r.raw.CloseWrite() }, 4},
		"client vanishes":             {waits, func(r *served, _ *tls.Conn) { r.raw.SetLinger(0); r.raw.Close() }, 4},
		"client breaks TLS":           {waits, func(r *served, _ *tls.Conn) { r.raw.Write([]byte("\x17\x03\x03\x00\x04junk")) }, 4},
		"program ends":                {`echo hello; exit 4`, func(*served, *tls.Conn) {}, 4},
		"program is killed":           {`echo hello; kill -9 $$`, func(*served, *tls.Conn) {}, -1},
		"program closes its output":   {`echo hello; exec >&-; read -r x; exit 4`, func(r *served, _ *tls.Conn) { r.hears(""); r.say("x\n") }, 4},
		"program closes its input":    {`echo hello; exec <&-; read -r x; sleep 0.1; echo there; exit 4`, func(r *served, _ *tls.Conn) { r.hears("there", "") }, 4},
		"client sends to the deaf":    {`echo hello; exec <&-; exit 4`, func(_ *served, conn *tls.Conn) { conn.Write(make([]byte, 1<<20)) }, 4},
		"client ends but still hears": {`echo hello; cat >/dev/null; echo there; exit 4`, func(r *served, _ *tls.Conn) { r.raw.CloseWrite(); r.hears("there", "") }, 4},
	} {
		r := serve(t, early, keys(t), "-t", "sh", "-c", c.prog)
		conn := r.secure(config("mx.example"))
		r.hears("hello")
		c.end(r, conn)
		if code, log := r.over(); code != c.code || log != "" && what != "client vanishes" && what != "client breaks TLS" {
			t.Errorf("%s: exit %d: %s", what, code, log)
		}
	}
}

// close_notify is said when the program is gone, with -S also when it only ends
// its output. To a peer that ends its stream without, -J objects.
func TestCloseNotify(t *testing.T) {
	for _, c := range []struct {
		option, prog string
		polite       bool
	}{
		{"-s", `echo hello`, true}, {"-S", `echo hello`, true},
		{"-s", `echo hello; exec >&-; read -r x`, false}, {"-S", `echo hello; exec >&-; read -r x`, true},
	} {
		r := serve(t, early, keys(t), "-t", c.option, "sh", "-c", c.prog)
		ended := &ending{Conn: r.raw}
		conn := tls.Client(ended, config("mx.example"))
		if _, err := io.Copy(io.Discard, conn); err != nil {
			t.Errorf("%s: %v", c.prog, err)
		}
		if ended.raw == c.polite {
			t.Errorf("%s %q: the bare stream ended: %v", c.option, c.prog, ended.raw)
		}
		r.end()
	}
	for _, c := range []struct {
		option string
		polite bool
		says   string
	}{{"-J", false, "without close_notify"}, {"-J", true, ""}, {"-j", false, ""}} {
		r := serve(t, early, keys(t), "-t", c.option, "sh", "-c", `while read -r x; do echo "$x"; done; echo end; exit 4`)
		conn := r.secure(config("mx.example"))
		r.say("a\n")
		r.hears("a")
		if c.polite {
			conn.CloseWrite()
		} else {
			r.raw.CloseWrite()
		}
		r.hears("end", "")
		if code, log := r.over(); code != 4 || !strings.Contains(log, c.says) || (log == "") != (c.says == "") {
			t.Errorf("%s, %v: exit %d: %s", c.option, c.polite, code, log)
		}
	}
}

// ending notes an end of the stream that no close_notify has announced.
type ending struct {
	net.Conn
	raw bool
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	e.raw = e.raw || err == io.EOF
	return n, err
}

// A peer that takes nothing any more is the program's business while it lives;
// when it hangs up all that were left are gone.
func TestStalledPeer(t *testing.T) {
	r := serve(t, early, keys(t), "-t", "sh", "-c", `exec yes`)
	r.secure(config("mx.example"))
	r.hears("y")
	r.raw.SetLinger(0)
	r.raw.Close()
	if code, _ := r.over(); code == 0 {
		t.Error("yes has come to an end")
	}
}

// A TLS process that dies leaves a program that hears an end, or that there is no
// TLS, and nothing that goes on in clear (S29).
func TestDeadTLSProcess(t *testing.T) {
	kill := func(r *served) {
		t.Helper()
		pid, err := strconv.Atoi(strings.TrimPrefix(child(t, r.cmd.Process.Pid), "/proc/"))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := serve(t, early, keys(t), "sh", "-c", starttls+`cat >/dev/null; exit 4`)
	r.hears("220 clear")
	r.say("STARTTLS\n")
	r.hears("220 go")
	r.secure(config("mx.example"))
	r.hears("SSL_PROTOCOL=TLSv1.3")
	kill(r)
	if code, log := r.over(); code != 4 || log != "" {
		t.Errorf("under TLS: exit %d: %s", code, log)
	}
	r = serve(t, early, keys(t), "sh", "-c", `trap '' PIPE; echo ready; read -r x; `+starttls)
	r.hears("ready")
	kill(r)
	r.say("begin\nSTARTTLS\n")
	r.hears("220 clear", "220 go", "454 no TLS")
	r.say("x\n")
	if code, _ := r.end(); code != 7 {
		t.Errorf("in clear: exit %d", code)
	}
}

// Few descriptors are enough. The limit is set by a program of another
// ucspi-tlsd, which it does not ask for TLS.
func TestFewDescriptors(t *testing.T) {
	r := serve(t, early, keys(t), "-Z", "sh", "-c", `eval "exec $SSLCTLFD<&- $SSLREADFD<&- $SSLWRITEFD<&-"; ulimit -n 24; exec "$0"/ucspi-tlsd sh -c "$1"`, early, starttls+echo)
	r.hears("220 clear")
	r.say("STARTTLS\n")
	r.hears("220 go")
	r.secure(config("mx.example"))
	r.say("quit\n")
	if text, err := io.ReadAll(r.r); !strings.HasSuffix(string(text), "\n.\nheard quit\n") {
		t.Errorf("%q, %v", text, err)
	}
	if code, log := r.over(); code != 5 || log != "" {
		t.Errorf("exit %d: %s", code, log)
	}
}
