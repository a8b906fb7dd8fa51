package chain

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/smtp"
)

// A helper that is killed is a connection that died; in doubt from the moment
// when the end of the message may have left, and never accepted.
func TestKilledHelpers(t *testing.T) {
	const long = 8 << 20
	for _, victim := range []string{"ucspi-tlsc", "qmail-remote-io"} {
		for _, at := range []struct {
			verb    string
			size    int
			stage   smtp.Stage
			inDoubt bool
		}{
			{verb: "EHLO", stage: smtp.AtEHLO},
			{verb: "MAIL", stage: smtp.AtMail},
			{verb: "RCPT", stage: smtp.AtMail},
			{verb: "DATA", stage: smtp.AtMail},
			{verb: "body", size: long, stage: smtp.AtMail},
			{verb: ".", stage: smtp.AtDot, inDoubt: true},
			{verb: ".", size: long, stage: smtp.AtDot, inDoubt: true},
		} {
			reason := victim + " killed at " + at.verb
			conn, _ := server(t, func(p *peer) {
				p.secure("mx.example")
				if at.verb == "body" {
					p.upTo("DATA")
					p.say("354 go")
					p.line()
				} else {
					p.upTo(at.verb)
				}
				syscall.Kill(helper(t, victim), syscall.SIGKILL)
				p.rest()
			})
			c, h := handover(t, conn, text+strings.Repeat(strings.Repeat("x", 63)+"\n", at.size/64))
			tx := c.Converse(t.Context(), h)
			if tx.Accepted() || tx.InDoubt() != at.inDoubt || tx.Fault != smtp.Dropped {
				t.Errorf("%s: %+v", reason, tx)
			}
			if victim == "qmail-remote-io" && tx.Stage != at.stage {
				t.Errorf("%s: at %v", reason, tx.Stage)
			}
			noProcesses(t)
		}
	}
}

// The outcome is in when the server has taken the message, however it parts
// from us (C48, C77).
func TestUncleanEnds(t *testing.T) {
	for reason, end := range map[string]func(p *peer){
		"no close_notify": func(p *peer) { p.raw.Close() },
		"reset":           func(p *peer) { p.raw.(*net.TCPConn).SetLinger(0); p.raw.Close() },
		"deaf":            func(p *peer) { p.rest(); p.rest() },
		"alert":           func(p *peer) { p.raw.Write([]byte{21, 3, 3, 0, 2, 2, 40}); p.raw.Close() },
	} {
		conn, _ := server(t, func(p *peer) {
			p.secure("mx.example")
			p.upTo(".")
			p.say("250 taken")
			end(p)
		})
		c, h := handover(t, conn, text)
		if tx := c.Converse(t.Context(), h); !tx.Accepted() {
			t.Errorf("%s: %+v", reason, tx)
		}
		noProcesses(t)
	}
}

// A verdict that did not come whole is none (C74).
func TestNoVerdict(t *testing.T) {
	for reason, said := range map[string]string{"nothing": "", "half a line": "25", "no line end": "250 ok"} {
		conn, _ := server(t, func(p *peer) {
			p.secure("mx.example")
			p.upTo(".")
			p.Write([]byte(said))
		})
		c, h := handover(t, conn, text)
		if tx := c.Converse(t.Context(), h); !tx.InDoubt() || tx.Accepted() || tx.Fault != smtp.Dropped {
			t.Errorf("%s: %+v", reason, tx)
		}
		noProcesses(t)
	}
}

func TestDeadline(t *testing.T) {
	for reason, c := range map[string]struct {
		verb    string
		stage   smtp.Stage
		inDoubt bool
	}{
		"handshake": {stage: smtp.AtTLS},
		"EHLO":      {verb: "EHLO", stage: smtp.AtEHLO},
		"MAIL":      {verb: "MAIL", stage: smtp.AtMail},
		"dot":       {verb: ".", stage: smtp.AtDot, inDoubt: true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		conn, _ := server(t, func(p *peer) {
			if c.verb == "" {
				p.r.Peek(1)
			} else {
				p.secure("mx.example")
				p.upTo(c.verb)
			}
			cancel()
			p.rest()
		})
		chain, h := handover(t, conn, text)
		begin := time.Now()
		tx := chain.Converse(ctx, h)
		if tx.Stage != c.stage || tx.Fault != smtp.TimedOut || tx.InDoubt() != c.inDoubt {
			t.Errorf("%s: %+v", reason, tx)
		}
		if d := time.Since(begin); d >= h.Params.Timeout { // that would have been its end without ctx
			t.Errorf("%s: took %v", reason, d)
		}
		noProcesses(t)
	}
}

func TestContextOver(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	conn, _ := server(t, (*peer).silence)
	c, h := handover(t, conn, text)
	if tx := c.Converse(ctx, h); tx.Stage != smtp.AtTLS || tx.Fault != smtp.TimedOut {
		t.Errorf("%+v", tx)
	}
}

// Where nobody would hear of it, no end of the message is sent (C81).
func TestUnheard(t *testing.T) {
	for _, content := range []string{text, text + strings.Repeat(strings.Repeat("x", 63)+"\n", 1<<15), ""} {
		var said string
		conn, wait := server(t, func(p *peer) {
			p.secure("mx.example")
			p.upTo("DATA")
			p.say("354 go")
			said = p.rest()
		})
		c, h := handover(t, conn, content)
		asked := 0
		c.Heard = func() bool { asked++; return false }
		tx := c.Converse(t.Context(), h)
		noProcesses(t)
		wait()
		if tx.Accepted() || asked != 1 || strings.HasSuffix(said, ".\r\n") {
			t.Errorf("%d bytes: asked %d times; the server heard %d bytes; %+v", len(content), asked, len(said), tx)
		}
	}
}

// When qmail-remote is killed, its message will be tried again: the helpers end,
// and send no end of it.
func TestOrphans(t *testing.T) {
	for _, at := range []string{"EHLO", "MAIL", "DATA"} {
		dead := make(chan struct{})
		var cmd *exec.Cmd
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		cmd = exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), "CHAIN_TEST_DELIVER="+l.Addr().String()+" "+bin)
		name := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if cmd.Stdin, err = os.Open(name); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		raw, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			defer close(dead)
			defer raw.Close()
			p := &peer{Conn: raw, raw: raw, t: t}
			p.secure("mx.example")
			p.upTo(at)
			cmd.Process.Kill()
			cmd.Wait()
			noProcesses(t) // and nobody had to tell them
			p.Write([]byte("354 go\r\n"))
			if said := p.rest(); strings.Contains(said, "hello") {
				t.Errorf("at %s: an orphan said %q", at, said)
			}
		}()
		<-dead
		l.Close()
		noProcesses(t)
	}
}
