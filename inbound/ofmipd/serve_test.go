package ofmipd

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"postrider/inbound"
	"postrider/internal/constmap"
	"postrider/internal/mess822"
	"postrider/internal/proctest"
	"postrider/internal/queuetest"
)

// client is the other end of a session of Serve.
type client struct {
	*net.UnixConn
	exit chan int // what Serve returns
}

// serve begins a session of p, of which it sets what is not set.
func serve(t *testing.T, home queuetest.Home, p Program) client {
	t.Helper()
	peer, program := proctest.Socketpair(t)
	c := client{peer, make(chan int, 1)}
	if p.Wire == nil {
		p.Wire = &inbound.Descriptors{}
	}
	fd := int(program.Fd())
	p.Wire.In, p.Wire.Out = fd, fd
	p.Home, p.PID = string(home), 2811
	if p.Env.Get("QUEUE_HOME") == "" {
		p.Env = append(p.Env, home.Env("", "")...)
	}
	go func() {
		code := p.Serve()
		program.Close()
		c.exit <- code
	}()
	return c
}

// talk is a whole session: what was said, and the exit code.
func talk(t *testing.T, home queuetest.Home, in string, p Program) (said string, exit int) {
	t.Helper()
	c := serve(t, home, p)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := io.WriteString(c, in); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
			t.Error(err)
		}
		c.CloseWrite()
	})
	all, err := io.ReadAll(c)
	wg.Wait()
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("reading: %v", err)
	}
	return string(all), <-c.exit
}

const (
	hello   = "220 me.example ESMTP\r\n"
	bye     = "221 me.example\r\n"
	toData  = "250 ok\r\n250 ok\r\n354 go ahead\r\n"
	taken   = "250 ok\r\n"
	mailing = "MAIL FROM:<joe>\r\nRCPT TO:<a@here>\r\nDATA\r\n"
	quit    = "\r\n.\r\nQUIT\r\n"
)

// now is how time shows in a message.
var now = regexp.MustCompile(`\d{1,2} \w{3} 20\d\d \d\d:\d\d:\d\d -0000\n`)

// masked is a message with NOW for the time that it was.
func masked(text string) string {
	text = now.ReplaceAllString(text, "NOW\n")
	return regexp.MustCompile(`<20\d{12}\.(\d+)\.2811\.`).ReplaceAllString(text, "<NOW.$1.")
}

// deliver is the one message that a session with in makes.
func deliver(t *testing.T, home queuetest.Home, in string, p Program) queuetest.Message {
	t.Helper()
	said, exit := talk(t, home, in, p)
	if want := hello + toData + taken + bye; said != want || exit != 0 {
		t.Errorf("%q: %q, exit %d", in, said, exit)
	}
	return home.Only(t)
}

// The dialogue, as far as it is not package inbound's.
func TestDialogue(t *testing.T) {
	const tooLong = "555 syntax error (#5.5.4)\r\n"
	long := strings.Repeat("a", 888) // with @me.example: 899
	for in, want := range map[string]string{
		"HELO x\r\n":                       "250 me.example\r\n",
		"EHLO x\r\n":                       "250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
		"HELP\r\n":                         "214 Postrider, a qmail: see qmail-ofmipd(8)\r\n",
		"AUTH PLAIN\r\n":                   "502 unimplemented (#5.5.1)\r\n",
		"MAIL FROM:<" + long + ">\r\n":     "250 ok\r\n",
		"MAIL FROM:<" + long + "a>\r\n":    tooLong,
		"MAIL\r\nRCPT TO:<" + long + ">\n": "250 ok\r\n250 ok\r\n",
		"MAIL\nRCPT TO:<" + long + "a>\n":  "250 ok\r\n" + tooLong,
		"MAIL FROM:<a> SIZE=1 BODY=8BITMIME AUTH=<> X\r\n":                       "250 ok\r\n",
		"MAIL FROM:<a> SMTPUTF8\r\n":                                             tooLong,
		"MAIL FROM:<a> RET=FULL\r\nMAIL FROM:<a> ENVID=x\nDATA\n":                tooLong + tooLong + "503 MAIL first (#5.5.1)\r\n",
		"MAIL FROM:<a> BODY=BinaryMIME\r\n":                                      tooLong,
		"MAIL\r\nRCPT TO:<a> NOTIFY=NEVER\nRCPT TO:<a> ORCPT=rfc822;a\nDATA\r\n": "250 ok\r\n" + tooLong + tooLong + "503 RCPT first (#5.5.1)\r\n",
	} {
		said, exit := talk(t, queuetest.New(t), in+"QUIT\r\n", Program{})
		if said != hello+want+bye || exit != 0 {
			t.Errorf("%.60q: %q, exit %d", in, said, exit)
		}
	}
}

func TestMessage(t *testing.T) {
	home := queuetest.New(t)
	in := "MAIL FROM:<joe>\r\nRCPT TO:<a@here>\r\nRCPT TO:bob@x.y\r\nDATA\r\n" +
		"Subject: hi\r\nTo: Joe <joe@here>\r\nReceived: foo\r\nBcc: secret\r\nX: y\r\nbody line\r\n..dot" + quit
	said, exit := talk(t, home, in, Program{Env: inbound.Env{"TCPREMOTEIP=1.2.3.4", "TCPREMOTEINFO=we@ird"}})
	if want := hello + "250 ok\r\n" + toData + taken + bye; said != want || exit != 0 {
		t.Errorf("%q, exit %d", said, exit)
	}
	m := home.Only(t)
	if want := queuetest.Envelope("joe@me.example", "a@here.me.example", "bob@x.y"); m.Envelope != want {
		t.Errorf("%q, want %q", m.Envelope, want)
	}
	const want = `Received: (ofmipd we?ird@1.2.3.4); NOW
Received: foo
Date: NOW
Message-ID: <NOW.1.qmail@me.example>
From: joe@me.example
To: "Joe" <joe@here.me.example>
Subject: hi
X: y

body line
.dot
`
	if got := masked(m.Content); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestReceived(t *testing.T) {
	for env, want := range map[string]string{
		"":                                      "unknown",
		"TCPREMOTEIP=2001:db8::1":               "2001:db8::1",
		"TCPREMOTEIP=1.2.3.4|TCPREMOTEINFO=":    "@1.2.3.4",
		"TCPREMOTEINFO=(a@b) c\\\t\x7f\xe9;\"x": "?a?b??c????;\"x@unknown",
		"TCPREMOTEIP=1)\n2":                     "1??2",
	} {
		m := deliver(t, queuetest.New(t), mailing+quit[2:], Program{Env: strings.Split(env, "|")})
		if got := masked(m.Content); !strings.HasPrefix(got, "Received: (ofmipd "+want+"); NOW\nDate: ") {
			t.Errorf("%q: %s", env, got)
		}
	}
}

func TestBounce(t *testing.T) {
	m := deliver(t, queuetest.New(t), "MAIL FROM:<>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n.\r\nQUIT\r\n", Program{})
	want := "Received: (ofmipd unknown); NOW\nDate: NOW\nMessage-ID: <NOW.1.qmail@me.example>\nFrom: <>\nCc: recipient list not shown: ;\n"
	if got := masked(m.Content); got != want || m.Envelope != queuetest.Envelope("", "a@b.c") {
		t.Errorf("%q, %q", got, m.Envelope)
	}
}

// A text of nothing but indented lines is a body, and not lost.
func TestIndented(t *testing.T) {
	m := deliver(t, queuetest.New(t), mailing+" b\r\n\tc\r\n.\r\nQUIT\r\n", Program{})
	want := "Received: (ofmipd unknown); NOW\nDate: NOW\nMessage-ID: <NOW.1.qmail@me.example>\nFrom: joe@me.example\nCc: recipient list not shown: ;\n\n b\n\tc\n"
	if got := masked(m.Content); got != want {
		t.Errorf("%q", got)
	}
}

func TestControls(t *testing.T) {
	for _, c := range []struct {
		why           string
		control       map[string]string
		env           string
		sender, rcpt  string
		message, host string
	}{
		{"me", nil, "", "joe@me.example", "a@here.me.example", "me.example", "me.example"},
		{
			"a file each", map[string]string{"smtpgreeting": "mail.example hi", "defaulthost": "dh", "defaultdomain": "dd", "plusdomain": "pd", "idhost": "id"}, "",
			"joe@dh.dd", "a@here.dd", "id.dd", "mail.example hi",
		},
		{
			"the environment before files", map[string]string{"defaulthost": "dh", "defaultdomain": "dd", "plusdomain": "pd", "idhost": "id"},
			"QMAILDEFAULTHOST=edh.x|QMAILDEFAULTDOMAIN=edd|QMAILPLUSDOMAIN=epd|QMAILIDHOST=eid+",
			"joe@edh.x", "a@here.edd", "eid.epd", "me.example",
		},
		{"rules, and no default", map[string]string{"rewrite": "# a comment\n=:host\n-here:there \n"}, "QMAILDEFAULTHOST=x", "joe@host", "a@there", "me.example", "me.example"},
		{"no rules at all", map[string]string{"rewrite": ""}, "", "joe@", "a@here", "me.example", "me.example"},
	} {
		home := queuetest.New(t)
		for name, content := range c.control {
			home.Control(t, name, content+"\n")
		}
		said, exit := talk(t, home, mailing+quit[2:], Program{Env: strings.Split(c.env, "|")})
		if want := "220 " + c.host + " ESMTP\r\n" + toData + taken + "221 " + c.host + "\r\n"; said != want || exit != 0 {
			t.Errorf("%s: %q, exit %d", c.why, said, exit)
		}
		m := home.Only(t)
		if m.Envelope != queuetest.Envelope(c.sender, c.rcpt) || !strings.Contains(masked(m.Content), "Message-ID: <NOW.1.qmail@"+c.message+">\n") {
			t.Errorf("%s: %q\n%s", c.why, m.Envelope, m.Content)
		}
	}
}

// Without control/me, a host that nobody named shows what is missing.
func TestNoMe(t *testing.T) {
	home := queuetest.New(t)
	home.Control(t, "smtpgreeting", "me.example\n")
	if err := os.Remove(filepath.Join(string(home), "control/me")); err != nil {
		t.Fatal(err)
	}
	m := deliver(t, home, "MAIL FROM:<joe>\r\nRCPT TO:<a@b+>\r\nDATA\r\n.\r\nQUIT\r\n", Program{})
	if m.Envelope != queuetest.Envelope("joe@DEFAULTHOST.DEFAULTDOMAIN", "a@b.PLUSDOMAIN") || !strings.Contains(m.Content, ".qmail@IDHOST.DEFAULTDOMAIN>\n") {
		t.Errorf("%q\n%s", m.Envelope, m.Content)
	}
}

// names writes a file of ofmipname(8) and gives its name.
func names(t *testing.T, pairs ...string) string {
	t.Helper()
	b := constmap.NewBuilder(nil)
	for i := 0; i < len(pairs); i += 2 {
		b.Put([]byte(pairs[i]), []byte(pairs[i+1]))
	}
	content, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "names.cdb")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNames(t *testing.T) {
	file := names(t, "joe@me.example", "Joe Shmoe\x00J.Shmoe@sun.af.mil", "x@y.z", "\x00X@y.z")
	for _, c := range []struct{ why, mail, header, sender, want string }{
		{
			"found", "joe", "Date: Mon, 3 Feb 2025 10:00:00 +0100\r\nFrom: zz@q\r\nSender: me\r\n", "J.Shmoe@sun.af.mil",
			"Date: 3 Feb 2025 10:00:00 +0100\nMessage-ID: <20250203100000.1.2811.qmail@me.example>\n" +
				"From: \"Joe Shmoe\" <J.Shmoe@sun.af.mil>\nSender: me@me.example\nCc: recipient list not shown: ;\n",
		},
		{"no name", "x@y.z", "From: zz@q\r\nMessage-ID: x\r\n", "X@y.z", "Date: NOW\nMessage-ID: x\nFrom: X@y.z\nCc: recipient list not shown: ;\n"},
		{"not found", "JOE", "From: zz@q\r\nMessage-ID: x\r\n", "JOE@me.example", "Date: NOW\nMessage-ID: x\nFrom: zz@q.me.example\nCc: recipient list not shown: ;\n"},
	} {
		home := queuetest.New(t)
		m := deliver(t, home, "MAIL FROM:<"+c.mail+">\r\nRCPT TO:<a@b.c>\r\nDATA\r\n"+c.header+quit[2:], Program{Names: file})
		_, content, _ := strings.Cut(now.ReplaceAllString(m.Content, "NOW\n"), "\n")
		if m.Envelope != queuetest.Envelope(c.sender, "a@b.c") || content != c.want {
			t.Errorf("%s: %q\n%s", c.why, m.Envelope, content)
		}
	}
}

// A name belongs to its own message only.
func TestNamesAreForgotten(t *testing.T) {
	home := queuetest.New(t)
	in := mailing + ".\r\nMAIL FROM:<x@y.z>\r\nRCPT TO:<a@b.c>\r\nDATA\r\n.\r\nQUIT\r\n"
	if _, exit := talk(t, home, in, Program{Names: names(t, "joe@me.example", "Joe\x00j@k.l")}); exit != 0 {
		t.Errorf("exit %d", exit)
	}
	list := home.Messages(t)
	if len(list) != 2 || !strings.Contains(list[0].Content, "From: \"Joe\" <j@k.l>\n") || !strings.Contains(masked(list[1].Content), "<NOW.2.qmail@me.example>\nFrom: x@y.z\n") {
		t.Errorf("%+v", list)
	}
}

func TestDamagedNames(t *testing.T) {
	file := names(t, "joe@me.example", "Joe\x00j@k.l")
	whole, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, whole[:2048], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	said, exit := talk(t, queuetest.New(t), "MAIL FROM:<joe>\r\nDATA\r\nQUIT\r\n", Program{Names: file})
	if want := hello + "451 unable to read cdb (#4.3.0)\r\n503 MAIL first (#5.5.1)\r\n" + bye; said != want || exit != 0 {
		t.Errorf("%q, exit %d", said, exit)
	}
}

func TestSMTPUTF8(t *testing.T) {
	home := queuetest.New(t)
	home.Control(t, "smtputf8", "1\n")
	const rest = "RCPT TO:<a@b.c>\r\nDATA\r\nFrom: j\xc3\xb6rg@x.y\r\n.\r\n"
	said, exit := talk(t, home, "EHLO x\r\nMAIL FROM:<j\xc3\xb6rg@x.y> smtputf8\r\n"+rest+"MAIL FROM:<a@b.c>\r\n"+rest+"QUIT\r\n", Program{})
	ehlo := "250-me.example\r\n250-PIPELINING\r\n250-SMTPUTF8\r\n250 8BITMIME\r\n"
	if want := hello + ehlo + toData + taken + toData + taken + bye; said != want || exit != 0 {
		t.Errorf("%q, exit %d", said, exit)
	}
	list := home.Messages(t)
	if len(list) != 2 || !strings.Contains(list[0].Content, "\nFrom: j\xc3\xb6rg@x.y\n") || !strings.Contains(list[1].Content, "\nFrom: \"j\xc3\xb6rg\"@x.y\n") {
		t.Errorf("%+v", list)
	}
}

func TestQueueTrouble(t *testing.T) {
	for then, want := range map[string]string{
		"exit 11":                           "554 envelope address too long for qq (#5.1.3)",
		"exit 31":                           "554 mail server permanently rejected message (#5.3.0)",
		"exit 53":                           "451 qq write error or disk full (#4.3.0)",
		"printf 'Dno, thanks' >&6; exit 82": "554 no, thanks",
		"kill -9 $$":                        "451 qq crashed (#4.3.0)",
	} {
		home := queuetest.New(t)
		said, exit := talk(t, home, mailing+"X: y"+quit, Program{Env: home.Env("", then)})
		if want := hello + toData + want + "\r\n" + bye; said != want || exit != 0 {
			t.Errorf("%s: %q, exit %d", then, said, exit)
		}
	}
}

// S12, S32: a header is not as large as it likes; a body is.
func TestLarge(t *testing.T) {
	home := queuetest.New(t)
	field := "X: " + strings.Repeat("y", 1020) + "\r\n"
	in := mailing + strings.Repeat(field, maxHeader/1024+1) + "\r\nbody" + quit[:len(quit)-6] + mailing + "X: y\r\n\r\n" + strings.Repeat(field, 2*maxHeader/1024) + quit
	said, exit := talk(t, home, in, Program{})
	if want := hello + toData + "552 sorry, that header is too large (#5.3.4)\r\n" + toData + taken + bye; said != want || exit != 0 {
		t.Errorf("%q, exit %d", said, exit)
	}
	list := home.Messages(t)
	if len(list) != 2 || list[0].Taken || list[0].Content != "" || !list[1].Taken || len(list[1].Content) < 2*maxHeader {
		t.Errorf("%d messages", len(list))
	}
}

// S32: as many addresses as no person has.
func TestManyAddresses(t *testing.T) {
	const n = 100_000
	var list strings.Builder
	for i := range n {
		list.WriteString("user" + strconv.Itoa(i) + "@example.com,\r\n ")
	}
	m := deliver(t, queuetest.New(t), mailing+"To: "+list.String()+"\r\n\r\nbody"+quit, Program{})
	if got := strings.Count(m.Content, "@example.com"); got != n || !strings.HasSuffix(m.Content, ", user99999@example.com\n\nbody\n") {
		t.Errorf("%d addresses", got)
	}
}

func TestTooManyAddresses(t *testing.T) {
	for why, end := range map[string]string{"a body": "\r\n\r\nbody" + quit, "no body": quit} {
		home := queuetest.New(t)
		said, exit := talk(t, home, mailing+"To: "+strings.Repeat("<>", mess822.MaxAddresses+1)+end, Program{})
		if want := hello + toData + "552 sorry, that header is too large (#5.3.4)\r\n" + bye; said != want || exit != 0 {
			t.Errorf("%s: %q, exit %d", why, said, exit)
		}
		if list := home.Messages(t); len(list) != 1 || list[0].Taken || list[0].Content != "" {
			t.Errorf("%s: %+v", why, list)
		}
	}
}
