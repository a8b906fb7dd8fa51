package smtpd

import (
	"errors"
	"io"
	"net"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/inbound"
	"postrider/internal/proctest"
	"postrider/internal/queuetest"
)

// client is the other end of a session of Serve.
type client struct {
	*net.UnixConn
	end chan error // of Serve
}

// serve begins a session below home, with these variables in its environment,
// and those of home.Env unless they are among them.
func serve(t *testing.T, home queuetest.Home, env ...string) client {
	t.Helper()
	peer, program := proctest.Socketpair(t)
	c := client{peer, make(chan error, 1)}
	if inbound.Env(env).Get("QUEUE_HOME") == "" {
		env = append(env, home.Env("", "")...)
	}
	go func() {
		fd := int(program.Fd())
		err := Serve(&inbound.Descriptors{In: fd, Out: fd}, string(home), env)
		program.Close()
		c.end <- err
	}()
	return c
}

// send says all of in and ends what the client says.
func (c client) send(t *testing.T, in string) {
	t.Helper()
	if _, err := io.WriteString(c, in); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	c.CloseWrite()
}

// talk is a whole session: what was said after the greeting, and the end.
func talk(t *testing.T, home queuetest.Home, in string, env ...string) (said string, end error) {
	t.Helper()
	c := serve(t, home, env...)
	var wg sync.WaitGroup
	wg.Go(func() { c.send(t, in) })
	all, err := io.ReadAll(c)
	wg.Wait()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading: %v", err)
	}
	said, greeted := strings.CutPrefix(string(all), "220 me.example ESMTP\r\n")
	if !greeted {
		t.Errorf("the greeting is %q", all)
	}
	return said, <-c.end
}

// mask puts "DATE", "TIME" and "PID" for what is different each time.
func mask(s string) string {
	s = regexp.MustCompile(`\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d -0000\n`).ReplaceAllString(s, "DATE\n")
	return regexp.MustCompile(`250 ok \d+ qp \d+\r\n`).ReplaceAllString(s, "250 ok TIME qp PID\r\n")
}

const (
	toData  = "250 ok\r\n250 ok\r\n354 go ahead\r\n"
	taken   = "250 ok TIME qp PID\r\n"
	bye     = "221 me.example\r\n"
	mailing = "MAIL FROM:<me@here>\r\nRCPT TO:<you@there>\r\nDATA\r\n"
)

func TestReceived(t *testing.T) {
	home := queuetest.New(t)
	home.Control(t, "smtputf8", "1\n")
	for n, c := range []struct {
		reason, hello, params, env, want string
	}{
		{"nothing is known", "", "", "", "from unknown (unknown)\n  by unknown with SMTP"},
		{"a name that is the client's", "HELO client.example", "", "TCPREMOTEIP=1.2.3.4|TCPREMOTEHOST=Client.Example|TCPLOCALHOST=loc.al", "from Client.Example (1.2.3.4)\n  by loc.al with SMTP"},
		{"one that is not", "EHLO x", "", "TCPREMOTEIP=1.2.3.4|TCPREMOTEHOST=y|TCPLOCALHOST=l|TCPLOCALIP=m", "from y (HELO x) (1.2.3.4)\n  by l with ESMTP"},
		{"S26", "HELO h(el)o\tw;\x01\xe9\r", "", "TCPREMOTEINFO=us er|TCPLOCALIP=9.8.7.6", "from unknown (HELO h?el?o?w????) (us?er@unknown)\n  by 9.8.7.6 with SMTP"},
		{"S26, everywhere", "", "", "TCPREMOTEIP=(1)|TCPREMOTEHOST=a;b|TCPREMOTEINFO=\"|TCPLOCALHOST=c\"d", "from a?b (?@?1?)\n  by c?d with SMTP"},
		{"an empty name", "HELO", "", "", "from unknown (HELO ) (unknown)\n  by unknown with SMTP"},
		{"an empty ident", "HELO UNKNOWN", "", "TCPREMOTEINFO=", "from unknown (@unknown)\n  by unknown with SMTP"},
		{"under TLS of somebody above", "EHLO x", "", "SSL_PROTOCOL=TLSv1.3", "from unknown (HELO x) (unknown)\n  by unknown with ESMTPS"},
		{"the same for who says HELO", "HELO x", "", "SSL_PROTOCOL=TLSv1.3", "from unknown (HELO x) (unknown)\n  by unknown with SMTP"},
		{"IPv6", "EHLO [IPv6:2001:db8::1]", "", "TCPREMOTEIP=2001:db8::1|TCPLOCALIP=2001:db8::2", "from unknown (HELO [IPv6:2001:db8::1]) (2001:db8::1)\n  by 2001:db8::2 with ESMTP"},
		{"HELO after EHLO", "EHLO x\r\nHELO unknown", "", "", "from unknown (unknown)\n  by unknown with SMTP"},
		{"SMTPUTF8", "EHLO unknown", " SMTPUTF8", "", "from unknown (unknown)\n  by unknown with UTF8SMTP"},
		{"SMTPUTF8 among others", "EHLO unknown", " BODY=8BITMIME smtputf8 SIZE=3", "", "from unknown (unknown)\n  by unknown with UTF8SMTP"},
		{"a word like it", "EHLO unknown", " SMTPUTF", "", "from unknown (unknown)\n  by unknown with ESMTP"},
	} {
		env := append(strings.Split(c.env, "|"), "RELAYCLIENT=")
		in := "MAIL FROM:<me@here>" + c.params + "\r\nRCPT TO:<you@there>\r\nDATA\r\n.\r\nQUIT\r\n"
		if c.hello != "" {
			in = c.hello + "\r\n" + in
		}
		if _, err := talk(t, home, in, env...); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		}
		list := home.Messages(t)
		if len(list) != n+1 {
			t.Fatalf("%s: %d messages", c.reason, len(list))
		}
		if got, want := mask(list[n].Content), "Received: "+c.want+"; DATE\n"; got != want {
			t.Errorf("%s: %q, want %q", c.reason, got, want)
		}
	}
}

// The parameter is for its own message only.
func TestSMTPUTF8IsForgotten(t *testing.T) {
	home := queuetest.New(t)
	home.Control(t, "smtputf8", "1\n")
	const rest = "RCPT TO:<b>\r\nDATA\r\n.\r\n"
	if _, err := talk(t, home, "EHLO x\r\nMAIL FROM:<a> SMTPUTF8\r\n"+rest+"MAIL FROM:<a>\r\n"+rest+"QUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	list := home.Messages(t)
	if len(list) != 2 || !strings.Contains(list[0].Content, " with UTF8SMTP; ") || !strings.Contains(list[1].Content, " with ESMTP; ") {
		t.Errorf("%+v", list)
	}
}

func TestDate(t *testing.T) {
	home := queuetest.New(t)
	before := time.Now().Truncate(time.Second)
	said, _ := talk(t, home, mailing+".\r\nQUIT\r\n")
	_, date, _ := strings.Cut(home.Only(t).Content, "; ")
	at, err := time.Parse("2 Jan 2006 15:04:05 -0700\n", date)
	if err != nil || at.Before(before) || at.After(time.Now()) {
		t.Errorf("%q: %v", date, err)
	}
	m := regexp.MustCompile(`250 ok (\d+) qp (\d+)\r\n221`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("%q", said)
	}
	if n, err := strconv.ParseInt(m[1], 10, 64); err != nil || n < before.Unix() || n > time.Now().Unix() {
		t.Errorf("%s: %v", m[1], err)
	}
}

// Replies that are qmail-smtpd's own, and what gets into the queue.
func TestPolicy(t *testing.T) {
	const domain = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"
	const sender = "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n"
	const bad = "555 syntax error (#5.5.4)\r\n"
	const ok = "250 ok\r\n"
	for _, c := range []struct{ reason, in, want, env string }{
		{"rcpthosts", "MAIL\r\nRCPT TO:<a@here.com>\r\nRCPT TO:<a@x.Sub.com>\r\nRCPT TO:<local>\r\nRCPT TO:<a@x.here.com>\r\nRCPT TO:<a@here>", ok + ok + ok + ok + domain + domain, ""},
		{"RELAYCLIENT", "MAIL\r\nRCPT TO:<a@there>", ok + ok, "RELAYCLIENT="},
		{"badmailfrom", "MAIL FROM:<bad@x>\r\nRCPT TO:<a@there>\r\nRCPT TO:<a@here.com>", ok + sender + sender, ""},
		{"badmailfrom before relaying", "MAIL FROM:<BAD@X>\r\nRCPT TO:<a@there>", ok + sender, "RELAYCLIENT="},
		{"badmailfrom, a domain", "MAIL FROM:<a@Bad.com>\r\nRCPT TO:<a@here.com>\r\nMAIL FROM:<a@x.bad.com>\r\nRCPT TO:<a@here.com>", ok + sender + ok + ok, ""},
		{"badmailfrom, by the last @", "MAIL FROM:<a@x@bad.com>\r\nRCPT TO:<a@here.com>\r\nMAIL FROM:<a@bad.com@x>\r\nRCPT TO:<a@here.com>", ok + sender + ok + ok, ""},
		{"badmailfrom is for one transaction", "MAIL FROM:<bad@x>\r\nMAIL FROM:<good@x>\r\nRCPT TO:<a@here.com>", ok + ok + ok, ""},
		{"too long", "MAIL FROM:<" + strings.Repeat("x", 899) + ">\r\nMAIL FROM:<" + strings.Repeat("x", 900) + ">", ok + bad, ""},
		{"too long, to", "MAIL\r\nRCPT TO:<" + strings.Repeat("x", 899) + ">\r\nRCPT TO:<" + strings.Repeat("x", 900) + ">", ok + ok + bad, ""},
		{"bad before forbidden", "MAIL\r\nRCPT TO:<" + strings.Repeat("x", 900) + "@there>", ok + bad, ""},
		{"parameters nobody knows", "MAIL FROM:<a> X=1 AUTH=<> BODY=8BITMIME SIZE=999999999999\r\nRCPT TO:<local> X", ok + ok, ""},
		{"parameters of what is not announced", "MAIL FROM:<a> SMTPUTF8\r\nMAIL FROM:<a> BODY=BINARYMIME\r\nMAIL FROM:<a> RET=HDRS\r\nMAIL FROM:<a> ENVID=+00\r\nMAIL\r\nRCPT TO:<local> NOTIFY=NEVER\r\nRCPT TO:<local> orcpt=rfc822;a",
			bad + bad + bad + bad + ok + bad + bad, ""},
		{"a MAIL refused is none", "MAIL FROM:<a> RET=HDRS\r\nRCPT TO:<local>", bad + "503 MAIL first (#5.5.1)\r\n", ""},
		{"SIZE", "MAIL FROM:<a> SIZE=6\r\nMAIL FROM:<a> SIZE=7\r\nMAIL FROM:<a> SIZE=99999999999999999999\r\nMAIL FROM:<a> SIZE=0\r\nMAIL FROM:<a> size=\r\nMAIL FROM:<a> SIZE=x\r\nMAIL FROM:<a> SIZE",
			ok + strings.Repeat("552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n", 2) + ok + bad + bad + bad, "DATABYTES=6"},
		{"HELP", "HELP", "214 Postrider, a qmail: see qmail-smtpd(8)\r\n", ""},
		{"EHLO", "EHLO x", "250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n", ""},
		{"EHLO with SIZE", "EHLO x", "250-me.example\r\n250-PIPELINING\r\n250-SIZE 77\r\n250 8BITMIME\r\n", "DATABYTES=77"},
		{"TLS with no helper", "EHLO x\r\nSTARTTLS", "250-me.example\r\n250-STARTTLS\r\n250-PIPELINING\r\n250 8BITMIME\r\n454 TLS temporarily not available (#4.7.0)\r\n", "UCSPITLS="},
		{"TLS demanded", "HELP", "530 Must start TLS first (#5.7.0)\r\n", "UCSPITLS=!"},
	} {
		home := controls(t, map[string]string{"rcpthosts": "here.com\n.sub.com\n", "badmailfrom": "Bad@x\n@bad.com\n"})
		said, err := talk(t, home, c.in+"\r\nQUIT\r\n", c.env)
		if said != c.want+bye || err != nil {
			t.Errorf("%s: %q, %v, want %q", c.reason, said, err, c.want)
		}
	}
}

func TestExtensions(t *testing.T) {
	home := controls(t, map[string]string{"smtputf8": "1\n", "databytes": "5"})
	said, err := talk(t, home, "EHLO x\r\nQUIT\r\n")
	if want := "250-me.example\r\n250-PIPELINING\r\n250-SIZE 5\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n" + bye; said != want || err != nil {
		t.Errorf("%q, %v", said, err)
	}
}

// The golden transcript of the original.
func TestGolden(t *testing.T) {
	home := queuetest.New(t)
	said, err := talk(t, home, "HELO client.example\r\nMAIL FROM:<me@here>\r\nRCPT TO:<@r:\"a b\"@c>\r\nDATA\r\nSubject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n",
		"TCPREMOTEIP=1.2.3.4", "TCPREMOTEHOST=Client.Example", "TCPLOCALHOST=loc.al", "RELAYCLIENT=@rel")
	if want := "250 me.example\r\n" + toData + taken + bye; mask(said) != want || err != nil {
		t.Errorf("%q, %v", said, err)
	}
	m := home.Only(t)
	if want := "Received: from Client.Example (1.2.3.4)\n  by loc.al with SMTP; DATE\nSubject: x\n\n.dot\n"; mask(m.Content) != want {
		t.Errorf("%q", m.Content)
	}
	if m.Envelope != queuetest.Envelope("me@here", "a b@c@rel") {
		t.Errorf("%q", m.Envelope)
	}
}
