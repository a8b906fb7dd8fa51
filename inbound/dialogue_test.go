package inbound

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/queuetest"
	"postrider/internal/smtp"
)

// fake is a Server that takes everything, but addresses that say how they are
// to be refused.
type fake struct{ content error }

func (f *fake) Extensions() []string { return []string{"X-ONE", "X-TWO 2"} }

func (f *fake) Mail(p smtp.Path) (string, error) { return f.judge("from ", p) }
func (f *fake) Rcpt(p smtp.Path) (string, error) { return f.judge("to ", p) }

func (f *fake) judge(form string, p smtp.Path) (string, error) {
	switch p.Address {
	case "refuse":
		return "", Refusal("599 refused")
	case "end":
		return "", Fatal("421 the end")
	case "error":
		return "", io.ErrUnexpectedEOF
	case "panic":
		panic("as the test wanted")
	}
	return form + p.Address, nil
}

func (f *fake) Content(c *Conn, queue io.Writer, s *Session) error {
	fmt.Fprintf(queue, "helo %s, %v, %v\n", s.Helo, s.Extended, s.TLS)
	for {
		line, err := c.Line()
		if err != nil {
			return err
		}
		if line == "." {
			return f.content
		}
		io.WriteString(queue, line+"\n")
	}
}

func (f *fake) Accepted(pid int) string {
	if pid <= 0 {
		return "599 no process"
	}
	return "250 taken"
}

// newDialogue is one with w, below home.
func newDialogue(w io.ReadWriter, home queuetest.Home) *Dialogue {
	env := Env(home.Env("", ""))
	return &Dialogue{
		Conn: NewConn(w), Name: "me.example", Help: "214 help yourself",
		Queue: Queue{Home: string(home), Env: &env}, Server: &fake{},
	}
}

// converse runs a dialogue with a client that waits after each of in, and gives
// what was said, with "|" where we waited.
func converse(t *testing.T, level Level, in ...string) (said string, err error) {
	t.Helper()
	w := &wire{in: in}
	d := newDialogue(w, queuetest.New(t))
	d.Level = level
	err = d.Run()
	return w.said.String(), err
}

const ehlo = "250-me.example\r\n250-PIPELINING\r\n250-X-ONE\r\n250-X-TWO 2\r\n250 8BITMIME\r\n"

// Each command by itself, and what is said when.
func TestDialogue(t *testing.T) {
	const envelope = "MAIL FROM:<a>\r\nRCPT TO:<b>\r\n"
	for _, c := range []struct{ reason, in, want string }{
		{"HELO", "HELO x", "250 me.example\r\n"},
		{"EHLO", "EHLO x", ehlo},
		{"in any case", "eHlO", ehlo},
		{"MAIL", "MAIL FROM:<a>", "250 ok\r\n"},
		{"MAIL with nothing", "MAIL", "250 ok\r\n"},
		{"MAIL twice", "MAIL FROM:<a>\r\nMAIL FROM:<a>", "250 ok\r\n250 ok\r\n"},
		{"MAIL refused", "MAIL FROM:<refuse>", "599 refused\r\n"},
		{"MAIL with a NUL", "MAIL FROM:<a\x00b>", "555 syntax error (#5.5.4)\r\n"},
		{"RCPT first", "RCPT TO:<a>", "503 MAIL first (#5.5.1)\r\n"},
		{"RCPT first, and bad", "RCPT TO:<a\x00>", "503 MAIL first (#5.5.1)\r\n"},
		{"RCPT", "MAIL FROM:<a>\r\nRCPT TO:<b>", "250 ok\r\n250 ok\r\n"},
		{"RCPT refused", "MAIL\r\nRCPT TO:<refuse>", "250 ok\r\n599 refused\r\n"},
		{"RCPT with a NUL", "MAIL\r\nRCPT TO:<\x00>", "250 ok\r\n555 syntax error (#5.5.4)\r\n"},
		{"DATA first", "DATA", "503 MAIL first (#5.5.1)\r\n"},
		{"DATA before RCPT", "MAIL\r\nDATA", "250 ok\r\n503 RCPT first (#5.5.1)\r\n"},
		{"DATA after a refused RCPT", "MAIL\r\nRCPT TO:<refuse>\r\nDATA", "250 ok\r\n599 refused\r\n503 RCPT first (#5.5.1)\r\n"},
		{"DATA", envelope + "DATA\r\nhi\r\n.", "250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken\r\n"},
		{"DATA twice", envelope + "DATA\r\n.\r\nDATA", "250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken\r\n503 MAIL first (#5.5.1)\r\n"},
		{"RCPT after DATA", envelope + "DATA\r\n.\r\nRCPT TO:<b>", "250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken\r\n503 MAIL first (#5.5.1)\r\n"},
		{"a MAIL that fails begins anew too", envelope + "MAIL FROM:<refuse>\r\nRCPT TO:<c>\r\nDATA", "250 ok\r\n250 ok\r\n599 refused\r\n503 MAIL first (#5.5.1)\r\n503 MAIL first (#5.5.1)\r\n"},
		{"RSET", envelope + "RSET\r\nDATA", "250 ok\r\n250 ok\r\n250 flushed\r\n503 MAIL first (#5.5.1)\r\n"},
		{"MAIL resets", envelope + "MAIL FROM:<a>\r\nDATA", "250 ok\r\n250 ok\r\n250 ok\r\n503 RCPT first (#5.5.1)\r\n"},
		{"HELO resets", envelope + "HELO x\r\nDATA", "250 ok\r\n250 ok\r\n250 me.example\r\n503 MAIL first (#5.5.1)\r\n"},
		{"EHLO resets", envelope + "EHLO x\r\nDATA", "250 ok\r\n250 ok\r\n" + ehlo + "503 MAIL first (#5.5.1)\r\n"},
		{"NOOP", "NOOP and so on", "250 ok\r\n"},
		{"VRFY", "VRFY joe", "252 send some mail, i'll try my best\r\n"},
		{"HELP", "HELP me", "214 help yourself\r\n"},
		{"STARTTLS", "STARTTLS", "502 unimplemented (#5.5.1)\r\n"},
		{"AUTH", "AUTH PLAIN AGEAYg==", "502 unimplemented (#5.5.1)\r\n"},
		{"EXPN", "EXPN joe", "502 unimplemented (#5.5.1)\r\n"},
		{"ETRN, TURN, XCLIENT, XFORWARD, PROXY, BDAT", "ETRN x\r\nTURN\r\nXCLIENT ADDR=1.2.3.4\r\nXFORWARD NAME=x\r\nPROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nBDAT 5 LAST",
			strings.Repeat("502 unimplemented (#5.5.1)\r\n", 6)},
		{"nothing", "", "502 unimplemented (#5.5.1)\r\n"},
		{"a blank first", " NOOP", "502 unimplemented (#5.5.1)\r\n"},
		{"a tab", "NOOP\tx", "502 unimplemented (#5.5.1)\r\n"},
		{"a NUL", "NOOP\x00", "502 unimplemented (#5.5.1)\r\n"},
		{"a longer word", "NOOPS", "502 unimplemented (#5.5.1)\r\n"},
	} {
		want := "220 me.example ESMTP\r\n" + c.want + "221 me.example\r\n"
		lines := strings.SplitAfter(c.in+"\r\nQUIT\r\nNOOP\r\n", "\r\n")
		for how, in := range map[string][]string{"at once": {strings.Join(lines, "")}, "by the line": lines[:len(lines)-1], "by the byte": strings.Split(strings.Join(lines, ""), "")} {
			said, err := converse(t, Unavailable, in...)
			if got := strings.ReplaceAll(said, "|", ""); got != want || err != nil {
				t.Errorf("%s, %s: %q, %v, want %q", c.reason, how, got, err, want)
			}
		}
	}
}

// S15: replies to what was sent at once come at once, in order; only MAIL, RCPT
// and RSET wait for others.
func TestDialoguePipelining(t *testing.T) {
	w := &counting{wire: wire{in: []string{"EHLO x\r\n", "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nRCPT TO:<c>\r\nDATA\r\nhello\r\n.\r\nRSET\r\nMAIL FROM:<a>\r\nRC", "PT TO:<d>\r\nNOOP\r\nQUIT\r\n"}}}
	home := queuetest.New(t)
	if err := newDialogue(w, home).Run(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"220 me.example ESMTP\r\n", "|", ehlo, "|",
		"250 ok\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken\r\n",
		"250 flushed\r\n250 ok\r\n", "|", "250 ok\r\n250 ok\r\n", "221 me.example\r\n",
	}
	if got := strings.Join(w.writes, "+"); got != strings.Join(want, "+") {
		t.Errorf("%q\nwant %q", w.writes, want)
	}
	if m := home.Only(t); m.Content != "helo x, true, false\nhello\n" || m.Envelope != queuetest.Envelope("from a", "to b", "to c") {
		t.Errorf("%+v", m)
	}
}

// counting notes each write, and each read as "|".
type counting struct {
	wire
	writes []string
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes = append(c.writes, string(p))
	return len(p), nil
}

func (c *counting) Read(p []byte) (int, error) {
	c.writes = append(c.writes, "|")
	return c.wire.Read(p)
}

// How a dialogue ends, other than by QUIT.
func TestDialogueEnds(t *testing.T) {
	const data = "MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\n"
	const greeting, toData = "220 me.example ESMTP\r\n", "250 ok\r\n250 ok\r\n354 go ahead\r\n"
	for _, c := range []struct {
		reason, in, said string
		want             error
	}{
		{"half a line", "Q", "", io.EOF},
		{"in a command", "NOOP\r\nQUI", "250 ok\r\n", io.EOF},
		{"in content", data + "hello\r\n", toData, io.EOF},
		{"after content", data + "hello\r\n.\r\n", toData + "250 taken\r\n", io.EOF},
		{"a server that has enough, at MAIL", "MAIL FROM:<end>\r\nNOOP\r\n", "421 the end\r\n", Fatal("421 the end")},
		{"at RCPT", "MAIL FROM:<a>\r\nRCPT TO:<end>\r\nNOOP\r\n", "250 ok\r\n421 the end\r\n", Fatal("421 the end")},
		{"a server that fails", "MAIL FROM:<error>\r\nNOOP\r\n", "", io.ErrUnexpectedEOF},
		// S14
		{"HTTP", "GET / HTTP/1.1\r\nHost: x\r\n", string(notMail) + "\r\n", notMail},
		{"HTTP, later", "NOOP\r\nPOST / HTTP/1.1\r\nHost: x\r\n", "250 ok\r\n" + string(notMail) + "\r\n", notMail},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", string(notMail) + "\r\n", notMail},
		{"SSH", "SSH-2.0-OpenSSH_9.9\r\n", string(notMail) + "\r\n", notMail},
		{"TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", string(notMail) + "\r\n", notMail},
		// S11
		{"a megabyte", strings.Repeat("x", 1<<20), string(lineTooLong) + "\r\n", lineTooLong},
		{"a megabyte of NULs and a command", strings.Repeat("\x00", 1<<20) + "\r\nNOOP\r\n", string(lineTooLong) + "\r\n", lineTooLong},
	} {
		said, err := converse(t, Unavailable, c.in)
		if got := strings.ReplaceAll(said, "|", ""); got != greeting+c.said || err != c.want {
			t.Errorf("%s: %q, %v, want %q", c.reason, got, err, c.said)
		}
	}
}

// What Content says decides, and then what the queue does.
func TestDialogueContent(t *testing.T) {
	for _, c := range []struct {
		content error
		then    string
		want    string
		end     error
	}{
		{nil, "", "250 taken", nil},
		{nil, "exit 31", "554 mail server permanently rejected message (#5.3.0)", nil},
		{nil, "exit 53", "451 qq write error or disk full (#4.3.0)", nil},
		{nil, "printf 'Dno\n250 ok' >&6; exit 82", "554 no 250 ok", nil},
		{Refusal("554 too old"), "", "554 too old", nil},
		{Fatal("451 bye"), "", "451 bye", Fatal("451 bye")},
	} {
		home := queuetest.New(t)
		w := &wire{in: []string{"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nhello\r\n.\r\nRCPT TO:<c>\r\nQUIT\r\n"}}
		d := newDialogue(w, home)
		*d.Queue.Env = home.Env("", c.then)
		d.Server = &fake{content: c.content}
		want := "220 me.example ESMTP\r\n|250 ok\r\n250 ok\r\n354 go ahead\r\n" + c.want + "\r\n"
		if c.end == nil {
			want += "503 MAIL first (#5.5.1)\r\n221 me.example\r\n"
		}
		if err := d.Run(); err != c.end || w.said.String() != want {
			t.Errorf("%v, %s: %q, %v, want %q", c.content, c.then, w.said.String(), err, want)
		}
		list := home.Messages(t)
		taken := c.content == nil && c.then == ""
		if len(list) != 1 || list[0].Taken != taken || (list[0].Envelope != "") != (c.content == nil) {
			t.Errorf("%v, %s: %+v", c.content, c.then, list)
		}
	}
}

// A message with no process for it is refused before it is sent.
func TestDialogueNoProcess(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	w := &wire{in: []string{"MAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nNOOP\r\nQUIT\r\n"}}
	d := newDialogue(w, queuetest.New(t))
	none := limit
	none.Cur = 0
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	err := d.Run()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	want := "220 me.example ESMTP\r\n|250 ok\r\n250 ok\r\n451 qqt failure (#4.3.0)\r\n250 ok\r\n221 me.example\r\n"
	if got := w.said.String(); got != want || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// S35: the client is told, and the panic goes on to end the process.
func TestDialoguePanics(t *testing.T) {
	w := &wire{in: []string{"MAIL FROM:<panic>\r\n"}}
	d := newDialogue(w, queuetest.New(t))
	func() {
		defer func() {
			if recover() != "as the test wanted" {
				t.Error("the panic went no further")
			}
		}()
		d.Run()
	}()
	if got := w.said.String(); !strings.HasSuffix(got, "|421 internal error (#4.3.0)\r\n") {
		t.Errorf("%q", got)
	}
}

// S15, S12: ten thousand recipients at once, and as many as memory is for.
func TestDialogueRecipients(t *testing.T) {
	const n = 10_000
	home := queuetest.New(t)
	w := &wire{in: []string{"MAIL FROM:<a>\r\n" + strings.Repeat("RCPT TO:<b>\r\n", n) + "DATA\r\n.\r\nQUIT\r\n"}}
	if err := newDialogue(w, home).Run(); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(w.said.String(), "250 ok\r\n"); got != n+1 {
		t.Errorf("%d replies", got)
	}
	if m := home.Only(t); len(m.Envelope) != len("Ffrom a\x00\x00")+n*len("Tto b\x00") {
		t.Errorf("an envelope of %d bytes", len(m.Envelope))
	}
	long := strings.Repeat("x", 60_000)
	w = &wire{in: []string{"MAIL FROM:<a>\r\n" + strings.Repeat("RCPT TO:<"+long+">\r\n", 300) + "QUIT\r\n"}}
	if err := newDialogue(w, home).Run(); err != nil {
		t.Fatal(err)
	}
	said := w.said.String()
	if taken := strings.Count(said, "250 ok\r\n"); taken != 1+maxEnvelope/60_005 || strings.Count(said, "452 too many recipients (#4.5.3)\r\n") != 301-taken {
		t.Errorf("%d taken of 300", taken-1)
	}
}

func TestDialogueFirst(t *testing.T) {
	w := &wire{}
	d := newDialogue(w, queuetest.New(t))
	d.First = "235 ok, go ahead (#2.0.0)"
	if err := d.Run(); err != io.EOF || w.said.String() != "235 ok, go ahead (#2.0.0)\r\n|" {
		t.Errorf("%q, %v", w.said.String(), err)
	}
	if err := newDialogue(&wire{end: os.ErrDeadlineExceeded}, queuetest.New(t)).Run(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

// What is allowed where TLS is demanded, and not there.
func TestDialogueRequired(t *testing.T) {
	const no = "530 Must start TLS first (#5.7.0)\r\n"
	said, err := converse(t, Required, "HELO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nRSET\r\nVRFY\r\nHELP\r\nAUTH\r\nNONSENSE\r\n\r\nNOOP\r\nEHLO x\r\nSTARTTLS x\r\nSTARTTLS\r\nQUIT\r\n")
	want := "220 me.example ESMTP\r\n|" + strings.Repeat(no, 10) + "250 ok\r\n" + strings.Replace(ehlo, "\n", "\n250-STARTTLS\r\n", 1) +
		"501 Syntax error (no parameters allowed) (#5.5.4)\r\n454 TLS temporarily not available (#4.7.0)\r\n221 me.example\r\n"
	if said != want || err != nil {
		t.Errorf("%q, %v, want %q", said, err, want)
	}
}

// S4, S5: a session begins anew under TLS, with nothing that came in clear.
func TestDialogueSTARTTLS(t *testing.T) {
	for _, level := range []Level{Available, Required} {
		home := queuetest.New(t)
		h := newHelper(t, false)
		pair := wires(t, time.Minute)["two pipes"]
		client := pair[1]
		client.Write([]byte("EHLO clear\r\nMAIL FROM:<evil>\r\nRCPT TO:<evil>\r\nSTARTTLS\r\nRCPT TO:<more>\r\nDATA\r\n"))
		h.cleartext.Write([]byte("DATA\r\nEHLO x\r\nSTARTTLS\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nhello\r\n.\r\nQUIT\r\n"))
		d := newDialogue(pair[0], home)
		d.Queue.Env.Set("SSL_CIPHER", "inherited")
		d.Level, d.Helper = level, FindHelper(h.env, pair[0], time.Minute)
		var wg sync.WaitGroup
		wg.Go(func() { h.answer(t, "SSL_PROTOCOL=TLSv1.3\x00SSL_CIPHER\x00\x00") })
		err := d.Run()
		wg.Wait()
		unix.Close(pair[0].Out)
		pair[0].Out = -1
		said, _ := io.ReadAll(h.cleartext)
		want := "503 MAIL first (#5.5.1)\r\n" + ehlo + "502 unimplemented (#5.5.1)\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n250 taken\r\n221 me.example\r\n"
		if string(said) != want || err != nil {
			t.Errorf("%v: under TLS %q, %v, want %q", level, said, err, want)
		}
		m := home.Only(t)
		if m.Content != "helo x, true, true\nhello\n" || m.Envelope != queuetest.Envelope("from a", "to b") {
			t.Errorf("%v: %+v", level, m)
		}
		if !strings.Contains(m.Env, "SSL_PROTOCOL=TLSv1.3\n") || strings.Contains(m.Env, "SSL_CIPHER") {
			t.Errorf("%v: the queue program gets %q", level, m.Env)
		}
	}
}

// S29: without a handshake not one word more is said, in clear or otherwise.
func TestDialogueSTARTTLSFails(t *testing.T) {
	h := newHelper(t, false)
	pair := wires(t, time.Minute)["two pipes"]
	pair[1].Write([]byte("STARTTLS\r\nEHLO x\r\n"))
	d := newDialogue(pair[0], queuetest.New(t))
	d.Level, d.Helper = Available, FindHelper(h.env, pair[0], time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() { h.answer(t, "") })
	if err := d.Run(); err == nil {
		t.Error("TLS has begun")
	}
	wg.Wait()
	unix.Close(pair[0].Out)
	pair[0].Out = -1
	said, _ := io.ReadAll(pair[1])
	if string(said) != "220 me.example ESMTP\r\n220 Ready to start TLS (#5.7.0)\r\n" {
		t.Errorf("%q", said)
	}
}
