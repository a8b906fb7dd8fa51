package engine

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
	"postrider/internal/spawn"
)

// change is one of a control file while a conversation is busy and more mail for
// its host waits. The server knows us as we were and as we are, "" where
// the change means nothing to the conversation.
type change struct {
	name, file, before, after string
	rule, trust, certs        string // tlsdestinations, trustanchors and domaincerts, all along
	were, are                 string
	replaced                  bool // file holds keys, and gives way to one of its name
}

var changes = []change{
	{name: "written as it was", file: "helohost", before: "mail.example\n", after: "mail.example\n", were: "mail.example"},
	{name: "of another matter", file: "timeoutconnect", before: "60\n", after: "30\n", were: "mail.example"},
	{name: "HELO name", file: "helohost", before: "mail.example\n", after: "new.example\n", were: "mail.example", are: "new.example"},
	{name: "HELO name by default", file: "me", before: "mail.example\n", after: "new.example\n", were: "mail.example", are: "new.example"},
	{name: "HELO name of the sender", file: "domainips", after: "example.com:|new.example\n", were: "mail.example", are: "new.example"},
	{name: "HELO name of the sender that was ours already", file: "domainips", after: "example.com:|mail.example\n", were: "mail.example"},
	{name: "source address", file: "domainips", after: "example.com:192.0.2.99\n", were: "mail.example", are: "mail.example from 192.0.2.99"},
	{name: "no source address", file: "domainips", before: "example.com:192.0.2.99\n", were: "mail.example from 192.0.2.99", are: "mail.example"},
	{name: "user", file: "authsenders", before: "@example.com:mx.example.net|a|!one\n", after: "@example.com:mx.example.net|b|!one\n", were: "mail.example a:one", are: "mail.example b:one"},
	{name: "password", file: "authsenders", before: "@example.com:mx.example.net|a|!one\n", after: "@example.com:mx.example.net|a|!two\n", were: "mail.example a:one", are: "mail.example a:two"},
	{name: "TLS is a must", file: "tlsdestinations", after: "-example.net:\n", were: "mail.example", are: "mail.example TLS"},
	{name: "TLS is no must", file: "tlsdestinations", before: "-example.net:\n", were: "mail.example TLS", are: "mail.example"},
	{name: "to be verified", file: "tlsdestinations", after: "example.net:\n", trust: "control/a.pem\n", were: "mail.example TLS", are: "mail.example TLS"},
	{name: "TLS at all", file: "trustanchors", after: "control/a.pem\n", were: "mail.example", are: "mail.example TLS"},
	{name: "whom to believe", file: "trustanchors", before: "control/a.pem\n", after: "control/b.pem\n", rule: "example.net:\n", were: "mail.example TLS", are: "mail.example TLS"},
	{name: "whom to believe, in the file", file: "a.pem", replaced: true, trust: "control/a.pem\n", rule: "example.net:\n", were: "mail.example TLS", are: "mail.example TLS"},
	{name: "whom to believe, though nobody asks", file: "a.pem", replaced: true, trust: "control/a.pem\n", were: "mail.example TLS"},
	{name: "client certificate, in the file", file: "client.pem", replaced: true, certs: "example.com:control/client.pem\n", trust: "control/a.pem\n", were: "mail.example TLS with client.example", are: "mail.example TLS with client.example"},
	{name: "anchors of the host's own", file: "tlshosts/mx.example.net.pem", after: smtptest.AuthorityPEM(), were: "mail.example", are: "mail.example TLS"},
	{name: "no TLS with the host", file: "notlshosts/mx.example.net", after: "\n", trust: "control/a.pem\n", were: "mail.example TLS", are: "mail.example"},
	{name: "no TLS but with hosts that are listed", file: "tlshosts/exhaustivelist", after: "\n", trust: "control/a.pem\n", were: "mail.example TLS", are: "mail.example"},
	{name: "client certificate", file: "domaincerts", after: "example.com:control/client.pem\n", trust: "control/a.pem\n", were: "mail.example TLS", are: "mail.example TLS with client.example"},
}

// again is the message that has begun and goes anew: its keys are read when it goes.
func (c *change) again() string {
	if c.replaced {
		return "r2 | "
	}
	return ""
}

// exchange is a server that keeps account of who says what, and does not let the
// second message of its first conversation on before its time.
type exchange struct {
	hold chan struct{}

	mu    sync.Mutex
	calls []*call // under mu
}

// call is what one conversation came to: who we are, and the recipients named
// after each MAIL, in the order of their names. It is the server's until that has ended.
type call struct {
	name, source, user, tls string
	heard                   []string
}

func (c *call) String() string {
	return c.name + c.source + c.user + c.tls + ": " + strings.Join(slices.Sorted(slices.Values(c.heard)), " |")
}

func (x *exchange) serve(conn net.Conn, from netip.Addr) {
	defer func() { conn.Close() }()
	c := &call{}
	if from.IsValid() {
		c.source = " from " + from.String()
	}
	x.mu.Lock()
	first := len(x.calls) == 0
	x.calls = append(x.calls, c)
	x.mu.Unlock()
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 mx\r\n")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, arg, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
		case "STARTTLS":
			fmt.Fprint(conn, "220 go\r\n")
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example.net")}, ClientAuth: tls.RequestClientCert})
			if secure.Handshake() != nil {
				return
			}
			conn, r, c.tls = secure, bufio.NewReader(secure), " TLS"
			if shown := secure.ConnectionState().PeerCertificates; len(shown) > 0 {
				c.tls += " with " + shown[0].Subject.CommonName
			}
		case "DATA":
			if first && len(c.heard) == 2 {
				<-x.hold
			}
			fmt.Fprint(conn, "354 go\r\n")
			if _, err := content(r); err != nil {
				return
			}
			fmt.Fprint(conn, "250 taken\r\n")
		case "QUIT":
			return
		default:
			fmt.Fprint(conn, c.answer(verb, arg))
		}
	}
}

// answer is the reply to what does not change the state of the conversation.
func (c *call) answer(verb, arg string) string {
	switch verb {
	case "EHLO":
		c.name = arg
		if c.tls != "" {
			return "250-mx\r\n250-AUTH PLAIN\r\n250 PIPELINING\r\n"
		}
		return "250-mx\r\n250-AUTH PLAIN\r\n250-STARTTLS\r\n250 PIPELINING\r\n"
	case "AUTH":
		proof, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(arg, "PLAIN "))
		c.user = " " + strings.ReplaceAll(strings.TrimPrefix(string(proof), "\x00"), "\x00", ":")
		return "235 welcome\r\n"
	case "MAIL":
		c.heard = append(c.heard, "")
	case "RCPT":
		rcpt, _, _ := strings.Cut(strings.TrimPrefix(arg, "TO:<"), "@")
		c.heard[len(c.heard)-1] += " " + rcpt
	}
	return "250 ok\r\n"
}

// office is an engine in simulated time that delivers to an exchange.
type office struct {
	t      *testing.T
	home   string
	zone   dnstest.Zone
	engine *Engine
	exchange
	serving, delivering sync.WaitGroup
}

// control writes a control file, for the deliveries that begin from now on. An empty
// one in a directory is none: those count that are there.
func (o *office) control(file, text string) {
	name := o.home + "/control/" + file
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if inside := strings.Contains(file, "/"); inside && text == "" {
		os.Remove(name)
	} else if err == nil {
		err = os.WriteFile(name, []byte(text), 0o644)
	}
	if err != nil {
		o.t.Fatal(err)
	}
	o.engine.stage(o.zone, func(_ context.Context, from netip.Addr, _ netip.AddrPort) (net.Conn, error) {
		client, server := smtptest.Pipe(64 << 10)
		o.serving.Go(func() { o.serve(server, from) })
		return client, nil
	})
}

func (o *office) read(file string) string {
	text, err := os.ReadFile(o.home + "/control/" + file)
	if err != nil {
		o.t.Fatal(err)
	}
	return string(text)
}

// deliver begins a delivery and waits for all that happens within some time.
func (o *office) deliver(sender, rcpt string, within time.Duration) {
	m, err := os.Open(o.home + "/queue/mess/0/1")
	if err != nil {
		o.t.Fatal(err)
	}
	o.delivering.Go(func() {
		defer m.Close()
		d := spawn.Delivery{MessID: "0/1", Host: "example.net", Message: m, Sender: sender + "@example.com", Recipient: rcpt + "@example.net"}
		if report := string(o.engine.Deliver(context.Background(), d)); !strings.HasPrefix(report, "K192.0.2.7 accepted message.\n") {
			o.t.Errorf("%s: %q", rcpt, report)
		}
	})
	time.Sleep(within)
	synctest.Wait()
}

// TestChangedMeanwhile: a control file changes while a conversation is busy with
// one message and another waits to follow in its next flight. What began before
// the change goes there; what begins after it does not, neither with the message
// that waits, even if it is the same one, nor behind it (C89).
func TestChangedMeanwhile(t *testing.T) {
	const moment = 10 * time.Millisecond // enough for a group to be ripe
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			d, err := smtptest.ParseDialogue([]byte("-- argv --\nexample.net me@example.com you@example.net\n-- control/me --\nmail.example\n" +
				"-- control/concurrencyperhost --\n1\n-- control/a.pem --\n{authority}\n-- control/b.pem --\n{authority}\n" +
				"-- control/client.pem --\n{cert client.example}{key client.example}\n" +
				"-- dns --\nexample.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.7\n-- report --\nK\\n\\0\n"))
			if err != nil {
				t.Fatal(err)
			}
			home, _, zone := furnish(t, d)
			synctest.Test(t, func(t *testing.T) {
				o := &office{t: t, home: home, zone: zone, engine: New(home, 20), exchange: exchange{hold: make(chan struct{})}}
				o.control("tlsdestinations", c.rule)
				o.control("trustanchors", c.trust)
				o.control("domaincerts", c.certs)
				if c.replaced {
					c.before = o.read(c.file)
					c.after = c.before + "\n"
				}
				o.control(c.file, c.before)
				o.deliver("s0", "r0", time.Second)
				o.deliver("s1", "r1", moment)
				o.deliver("s2", "r2", moment)
				o.control(c.file, c.after)
				o.deliver("s2", "r3", 0)
				o.deliver("s4", "r4", moment)
				close(o.hold)
				o.delivering.Wait()
				overlapped := o.engine.Observer().State().Connections.Overlapped
				o.engine.Close()
				o.serving.Wait()
				got, want := fmt.Sprint(o.calls), "["+c.were+":  r0 | r1 | r2 "+c.are+":  "+c.again()+"r3 | r4]"
				behind := uint64(1)
				if c.are == "" {
					want, behind = "["+c.were+":  r0 | r1 | r2 r3 | r4]", 2
				}
				if got != want || overlapped != behind {
					t.Errorf("%d overlapped\nheard %s\n want %s", overlapped, got, want)
				}
			})
		})
	}
}
