package chain

import (
	"fmt"
	"os"
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
