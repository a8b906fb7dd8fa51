package chain

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/smtp"
	"postrider/remote"
	"postrider/smtpc"
	"postrider/tlspolicy"
)

var _ remote.Converser = (*Chain)(nil)

func TestDelivers(t *testing.T) {
	defer noProcesses(t)
	var body, quit string
	conn, wait := server(t, func(p *peer) {
		p.secure("mx.example")
		p.upTo("DATA")
		p.say("354 go")
		body = p.body()
		p.say("250-queued", "250 as 1")
		quit = p.rest()
	})
	c, h := handover(t, conn, text)
	h.Policy = &tlspolicy.Policy{Mode: tlspolicy.Verify, ServerName: "mx.example", Names: []string{"mx.example"}, Anchors: anchors(t)}
	tx := c.Converse(t.Context(), h)
	want := smtp.Transaction{
		Ending: smtp.Ending{Stage: smtp.AtQuit, Reply: smtp.Reply{Code: 250, Lines: []string{"250-queued", "250 as 1"}}},
		Rcpts:  []smtp.Reply{{Code: 250, Lines: []string{"250 ok"}}},
		TLS:    smtp.Security{Version: "TLSv1.3", Cipher: tx.TLS.Cipher, Verified: "pkix"},
	}
	if !reflect.DeepEqual(*tx, want) || tx.TLS.Cipher == "" {
		t.Errorf("got %+v", tx)
	}
	noProcesses(t)
	wait()
	if body != "Subject: x\n\nhello\n..\n" || quit != "QUIT\r\n" {
		t.Errorf("server got %q, then %q", body, quit)
	}
}

// What the job carries arrives, and is not to be seen in ps(1).
func TestJobTravels(t *testing.T) {
	defer noProcesses(t)
	conn, _ := server(t, func(p *peer) {
		p.secure("mx.example")
		p.say("220 mx.example") // implicit TLS: the greeting comes under it
		if p.hear("HELO") != "HELO client.example" {
			p.t.Error("not our name")
		}
		for _, name := range []string{"ucspi-tlsc", "qmail-remote-io"} {
			pid := helper(t, name)
			for _, file := range []string{"cmdline", "environ"} {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
				if err != nil || strings.Contains(string(b), "secret") {
					p.t.Errorf("%s of %s shows the password (%v)", file, name, err)
				}
			}
		}
		p.say("250 mx.example")
	})
	c, h := handover(t, conn, text)
	h.Policy.Implicit, h.Params.HeloOnly = true, true
	h.Creds = &smtpc.Credentials{User: "u", Password: "secret"}
	tx := c.Converse(t.Context(), h)
	if tx.Stage != smtp.AtAuth || tx.Fault != smtp.NoMechanism || tx.TLS.Version == "" {
		t.Errorf("got %+v", tx)
	}
}

func TestASCIIForm(t *testing.T) {
	defer noProcesses(t)
	var rcpt string
	conn, wait := server(t, func(p *peer) {
		p.secure("mx.example")
		p.upTo("EHLO")
		p.say("250 mx.example")
		p.hear("MAIL")
		p.say("250 ok")
		rcpt = p.hear("RCPT")
		p.say("550-no", "550 never")
		p.rest()
	})
	c, h := handover(t, conn, text)
	h.Envelope.Rcpts = []string{"you@bücher.example"}
	h.Envelope.ASCII = &smtp.Envelope{Sender: h.Envelope.Sender, Rcpts: []string{"you@xn--bcher-kva.example"}}
	tx := c.Converse(t.Context(), h)
	noProcesses(t)
	wait()
	if rcpt != "RCPT TO:<you@xn--bcher-kva.example>" || tx.Stage != smtp.AtRcpt || len(tx.Rcpts) != 1 || tx.Rcpts[0].Code != 550 {
		t.Errorf("server got %q; %+v", rcpt, tx)
	}
}

// Before MAIL nothing is in doubt, and nothing of SMTP is said without TLS.
func TestNoTLS(t *testing.T) {
	hangUp := func(*peer) {}
	for reason, c := range map[string]struct {
		script func(*peer)
		change func(*Chain, *tlspolicy.Policy)
		fault  smtp.Fault
		detail string
	}{
		"garbage": {script: func(p *peer) { p.say("250 hello, I am no TLS"); p.rest() }, fault: smtp.TLSFailed, detail: "handshake: "},
		"closed":  {script: hangUp, fault: smtp.TLSFailed, detail: "handshake: "},
		"silence": {script: func(p *peer) { p.rest() }, fault: smtp.TLSFailed, detail: "timed out"},
		"wrong name": {
			script: func(p *peer) { p.secure("other.example"); p.rest() },
			change: func(_ *Chain, p *tlspolicy.Policy) {
				*p = tlspolicy.Policy{Mode: tlspolicy.Verify, Names: []string{"mx.example"}, Anchors: anchors(t)}
			},
			fault: smtp.TLSFailed, detail: "pkix: ",
		},
		"no anchors": {
			script: func(p *peer) { p.silence() },
			change: func(_ *Chain, p *tlspolicy.Policy) {
				*p = tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: "/nonexistent/a"}
			},
			fault: smtp.TLSLocal, detail: "/nonexistent/a",
		},
		"no key": {
			script: func(p *peer) { p.silence() },
			change: func(_ *Chain, p *tlspolicy.Policy) { p.Cert, p.Key = "/nonexistent/c", "/nonexistent/k" },
			fault:  smtp.TLSLocal, detail: "/nonexistent/",
		},
		"no ucspi-tlsc": {
			script: func(p *peer) { p.silence() },
			change: func(c *Chain, _ *tlspolicy.Policy) { c.Dir = at("/nonexistent") },
			fault:  smtp.TLSLocal, detail: "unable to run ucspi-tlsc",
		},
		"no qmail-remote-io": {
			script: func(p *peer) { p.secure("mx.example"); p.silence() },
			change: func(c *Chain, _ *tlspolicy.Policy) { c.Dir = at(without(t, "qmail-remote-io")) },
			fault:  smtp.TLSLocal, detail: "unable to run",
		},
	} {
		conn, _ := server(t, c.script)
		chain, h := handover(t, conn, text)
		if reason == "silence" { // the others are to end sooner, on a busy machine too
			h.Params.Timeout = 300 * time.Millisecond
		}
		if c.change != nil {
			c.change(chain, h.Policy)
		}
		tx := chain.Converse(t.Context(), h)
		if tx.Stage != smtp.AtTLS || tx.Fault != c.fault || !strings.Contains(tx.Detail, c.detail) || strings.Contains(tx.Detail, "\n") {
			t.Errorf("%s: %+v", reason, tx)
		}
		noProcesses(t)
	}
}

func (p *peer) silence() {
	if said := p.rest(); said != "" {
		p.t.Errorf("server heard %q", said)
	}
}

// without is a directory of our programs where one is missing.
func without(t *testing.T, program string) string {
	dir := t.TempDir()
	for _, name := range []string{"ucspi-tlsc", "qmail-remote-io"} {
		if name != program {
			if err := os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

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

func TestHugeBody(t *testing.T) {
	defer noProcesses(t)
	line := strings.Repeat("0123456789abcdef", 4)[:63] + "\n"
	content := strings.Repeat(line, 10<<20/64)
	var got int
	conn, wait := server(t, func(p *peer) {
		p.secure("mx.example")
		p.upTo("EHLO")
		p.say("250-mx.example\r\n250 PIPELINING")
		p.hear("MAIL")
		p.say("250 ok")
		for range 40 { // a lot comes back, too
			p.hear("RCPT")
			for range 100 {
				p.say("250-" + strings.Repeat("y", 400))
			}
			p.say("250 ok")
		}
		p.hear("DATA")
		p.say("354 go")
		body := p.body()
		got = len(body)
		p.say("250 taken")
		p.rest()
	})
	c, h := handover(t, conn, content)
	h.Envelope.Rcpts = make([]string, 40)
	for i := range h.Envelope.Rcpts {
		h.Envelope.Rcpts[i] = fmt.Sprintf("you%d@mx.example", i)
	}
	begin := time.Now()
	tx := c.Converse(t.Context(), h)
	t.Logf("10 MB in %v", time.Since(begin))
	noProcesses(t)
	wait()
	if !tx.Accepted() || got != len(content) || len(tx.Rcpts) != 40 || len(tx.Rcpts[39].Lines) < 10 {
		t.Errorf("%d of %d bytes: %+v", got, len(content), tx.Ending)
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

// The processor time of all three, of which only the helpers are measured here.
func TestCost(t *testing.T) {
	const deliveries = 20
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &before)
	for range deliveries {
		conn, _ := server(t, func(p *peer) { p.secure("mx.example"); p.upTo(""); p.rest() })
		c, h := handover(t, conn, text+strings.Repeat("some text in a line\n", 200))
		if tx := c.Converse(t.Context(), h); !tx.Accepted() {
			t.Fatalf("%+v", tx)
		}
		noProcesses(t)
	}
	syscall.Getrusage(syscall.RUSAGE_CHILDREN, &after)
	spent := time.Duration(after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano())
	t.Logf("helpers: %v of processor time a delivery", spent/deliveries)
	if spent/deliveries > time.Second { // a slow machine takes a tenth of it
		t.Errorf("something is very wrong: %v", spent/deliveries)
	}
}
