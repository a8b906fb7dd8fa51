package smtpd

import (
	"bufio"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"postrider/internal/queuetest"
)

const stray = "451 See https://cr.yp.to/docs/smtplf.html.\r\n"

// S1: the ends that others have taken for one, within a session whose next
// commands are on their heels. Only what ends in CRLF "." CRLF is a message,
// and an LF by itself is the end of the connection.
func TestSmuggling(t *testing.T) {
	const inner = "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n"
	for _, c := range []struct {
		end     string
		content string // "": refused
	}{
		{"\n.\n", ""}, {"\n.\r\n", ""}, {"\r\n.\n", ""}, {"\n\n.\r\n", ""}, {"\r.\n", ""}, {"\n.\r\r\n", ""},
		{"\r.\r", "a\r.\rMAIL FROM:<evil@x>\nRCPT TO:<victim@y>\nDATA\nevil\n"},
		{"\r\n.\r", "a\n.\rMAIL FROM:<evil@x>\nRCPT TO:<victim@y>\nDATA\nevil\n"},
		{"\r.\r\n", "a\r.\nMAIL FROM:<evil@x>\nRCPT TO:<victim@y>\nDATA\nevil\n"},
		{"\r\n.\r\r\n", "a\n.\r\nMAIL FROM:<evil@x>\nRCPT TO:<victim@y>\nDATA\nevil\n"},
		{"\r\r\n.\r\r\n", "a\r\n.\r\nMAIL FROM:<evil@x>\nRCPT TO:<victim@y>\nDATA\nevil\n"},
	} {
		home := queuetest.New(t)
		said, end := talk(t, home, mailing+"a"+c.end+inner)
		list := home.Messages(t)
		if c.content == "" {
			if said != toData+stray || end != bareLF || len(list) != 1 || list[0].Taken || list[0].Envelope != "" {
				t.Errorf("%q: %q, %v, %+v", c.end, said, end, list)
			}
			continue
		}
		if mask(said) != toData+taken+bye || end != nil || len(list) != 1 {
			t.Errorf("%q: %q, %v, %d messages", c.end, said, end, len(list))
			continue
		}
		if _, content, _ := strings.Cut(list[0].Content, "-0000\n"); content != c.content || list[0].Envelope != queuetest.Envelope("me@here", "you@there") {
			t.Errorf("%q: %q", c.end, content)
		}
	}
}

// S12: databytes counts lines that end in LF, and not our Received field.
func TestDatabytes(t *testing.T) {
	const tooBig = "552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
	big := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 2000)
	for _, c := range []struct{ reason, body, want, limit string }{
		{"exactly", "12345\r\n", taken, "6"},
		{"one more", "123456\r\n", tooBig, "6"},
		{"dots do not count", "..345\r\n.2\r\n", tooBig, "6"},
		{"dots do not count, exactly", "..345\r\n", taken, "5"},
		{"no limit", big, taken, "0"},
		{"much more", big, tooBig, "1000"},
		{"the limit is no number", big, taken, "x"},
		{"a limit beyond numbers", "1\r\n", taken, "99999999999999999999"},
	} {
		home := controls(t, map[string]string{"databytes": "1"})
		said, err := talk(t, home, mailing+c.body+".\r\nDATA\r\nQUIT\r\n", "DATABYTES="+c.limit)
		if want := toData + c.want + "503 MAIL first (#5.5.1)\r\n" + bye; mask(said) != want || err != nil {
			t.Errorf("%s: %q, %v", c.reason, said, err)
		}
		list := home.Messages(t)
		if len(list) != 1 || list[0].Taken != (c.want == taken) || (list[0].Envelope == "") == (c.want == taken) {
			t.Errorf("%s: %+v", c.reason, list)
		}
		content := strings.ReplaceAll(strings.TrimPrefix(c.body, "."), "\r\n", "\n")
		if c.want == taken && !strings.HasSuffix(list[0].Content, "-0000\n"+content) { // whole
			t.Errorf("%s: %d bytes", c.reason, len(list[0].Content))
		}
	}
}

// S25
func TestHops(t *testing.T) {
	const looping = "554 too many hops, this message is looping (#5.4.6)\r\n"
	const size = "552 sorry, that message size exceeds my databytes limit (#5.3.4)\r\n"
	for _, c := range []struct{ reason, body, want, limit string }{
		{"99", strings.Repeat("received-spf: x\r\n", 50) + strings.Repeat("DELIVERED-to: x\r\n", 49), taken, ""},
		{"100", strings.Repeat("received: x\r\n", 100), looping, ""},
		{"in the body", strings.Repeat("Received: x\r\n", 99) + "\r\n" + strings.Repeat("Received: x\r\n", 99), taken, ""},
		{"and too big", strings.Repeat("received: x\r\n", 100), looping, "5"},
		{"too big", "123456\r\n", size, "5"},
	} {
		home := queuetest.New(t)
		said, err := talk(t, home, mailing+c.body+".\r\nQUIT\r\n", "DATABYTES="+c.limit)
		if mask(said) != toData+c.want+bye || err != nil {
			t.Errorf("%s: %q, %v", c.reason, said, err)
		}
		if list := home.Messages(t); len(list) != 1 || list[0].Taken != (c.want == taken) {
			t.Errorf("%s: %+v", c.reason, list)
		}
	}
}

// S21: a message is acknowledged when the queue program says 0, and only then.
func TestQueueTrouble(t *testing.T) {
	for _, c := range []struct{ first, then, want string }{
		{"", "exit 11", "554 envelope address too long for qq (#5.1.3)"},
		{"", "exit 31", "554 mail server permanently rejected message (#5.3.0)"},
		{"", "exit 39", "554 qq permanent problem (#5.3.0)"},
		{"", "exit 41", "451 qq temporary problem (#4.3.0)"},
		{"", "exit 53", "451 qq write error or disk full (#4.3.0)"},
		{"", "exit 82", "451 qq temporary problem (#4.3.0)"},
		{"", "printf 'Dgo away (#5.7.1)\n' >&6; exit 82", "554 go away (#5.7.1)"},
		{"", "printf Zsoon >&6; exit 82", "451 soon"},
		{"", "exit 111", "451 qq temporary problem (#4.3.0)"},
		{"", "exit 120", "451 unable to exec qq (#4.3.0)"},
		{"", "kill -9 $$", "451 qq crashed (#4.3.0)"},
		{"exit 71", "", "451 mail server temporarily rejected message (#4.3.0)"},
		{"exit 0", "", "451 qq read error (#4.3.0)"},
	} {
		home := queuetest.New(t)
		body := strings.Repeat(strings.Repeat("x", 998)+"\r\n", 200) // more than a pipe holds
		said, err := talk(t, home, mailing+body+".\r\nDATA\r\nQUIT\r\n", home.Env(c.first, c.then)...)
		if want := toData + c.want + "\r\n503 MAIL first (#5.5.1)\r\n" + bye; said != want || err != nil {
			t.Errorf("%+v: %q, %v", c, said, err)
		}
		for _, m := range home.Messages(t) {
			if m.Taken {
				t.Errorf("%+v: taken", c)
			}
		}
	}
}

// S23: a client that goes away is nobody's message, wherever it was.
func TestDisconnect(t *testing.T) {
	whole := "EHLO x\r\n" + mailing + "Subject: x\r\n\r\n..hi\r\n.\r\n"
	for cut := range len(whole) {
		if strings.HasSuffix(whole[:cut], "\r") || strings.HasSuffix(whole[:cut], "\n") || cut%7 == 0 {
			home := queuetest.New(t)
			if _, err := talk(t, home, whole[:cut]); err != io.EOF {
				t.Errorf("%q: %v", whole[:cut], err)
			}
			for _, m := range home.Messages(t) {
				if m.Taken || m.Envelope != "" {
					t.Errorf("%q: %+v", whole[:cut], m)
				}
			}
		}
	}
}

// S24: a message in the queue stays there, once, whoever hears of it.
func TestGoneBeforeReply(t *testing.T) {
	home := queuetest.New(t)
	c := serve(t, home)
	if _, err := io.WriteString(c, mailing); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(c); ; {
		if line, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		} else if line == "354 go ahead\r\n" {
			break
		}
	}
	if _, err := io.WriteString(c, "hi\r\n.\r\nQUIT\r\n"); err != nil {
		t.Fatal(err)
	}
	c.CloseRead()
	c.CloseWrite()
	if err := <-c.end; err == nil {
		t.Error("as if there had been QUIT")
	}
	if m := home.Only(t); !strings.HasSuffix(m.Content, "\nhi\n") {
		t.Errorf("%+v", m)
	}
}

// A client that waits too long is told so.
func TestTimeout(t *testing.T) {
	for reason, in := range map[string]string{"in a command": "HEL", "in content": mailing + "hi\r\n.\r"} {
		home := controls(t, map[string]string{"timeoutsmtpd": "1"})
		c := serve(t, home)
		if _, err := io.WriteString(c, in); err != nil {
			t.Fatal(err)
		}
		said, err := io.ReadAll(c)
		if !strings.HasSuffix(string(said), "451 timeout (#4.4.2)\r\n") || err != nil {
			t.Errorf("%s: %q, %v", reason, said, err)
		}
		if err := <-c.end; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %v", reason, err)
		}
		for _, m := range home.Messages(t) {
			if m.Taken || m.Envelope != "" {
				t.Errorf("%s: %+v", reason, m)
			}
		}
	}
}

// S16: a client that reads nothing does not keep us.
func TestDeafClient(t *testing.T) {
	c := serve(t, controls(t, map[string]string{"timeoutsmtpd": "1"}))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			if _, err := io.WriteString(c, strings.Repeat("HELP\r\n", 1000)); err != nil {
				return
			}
		}
	})
	if err := <-c.end; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	wg.Wait()
}

// A slow client is still a client: whole messages by the byte.
func TestByTheByte(t *testing.T) {
	home := queuetest.New(t)
	c := serve(t, home)
	r := bufio.NewReader(c)
	if line, err := r.ReadString('\n'); line != "220 me.example ESMTP\r\n" || err != nil {
		t.Fatalf("%q, %v", line, err)
	}
	var said strings.Builder
	var wg sync.WaitGroup
	wg.Go(func() { io.Copy(&said, r) })
	for _, b := range []byte(mailing + "..a\r\n.\rb\r\n.\r\nQUIT\r\n") {
		if _, err := c.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := <-c.end; err != nil || mask(said.String()) != toData+taken+bye {
		t.Errorf("%q, %v", said.String(), err)
	}
	if m := home.Only(t); !strings.HasSuffix(m.Content, "-0000\n.a\n.\rb\n") {
		t.Errorf("%q", m.Content)
	}
}

// A home without a name, or none at all.
func TestNoControls(t *testing.T) {
	for _, home := range []queuetest.Home{"/nonexistent", controls(t, map[string]string{"rcpthosts": "a", "morercpthosts.cdb": "x"})} {
		c := serve(t, home)
		said, err := io.ReadAll(c)
		if string(said) != "421 unable to read controls (#4.3.0)\r\n" || err != nil {
			t.Errorf("%s: %q, %v", home, said, err)
		}
		if err := <-c.end; err == nil {
			t.Errorf("%s: no error", home)
		}
	}
}

// The queue program has the environment, less what would start TLS once more.
func TestEnvironment(t *testing.T) {
	home := queuetest.New(t)
	if _, err := talk(t, home, mailing+".\r\nQUIT\r\n", "UCSPITLS=", "DISABLETLS=", "KEPT=1", "RELAYCLIENT="); err != nil {
		t.Fatal(err)
	}
	env := home.Only(t).Env
	if !strings.Contains(env, "\nKEPT=1\n") && !strings.HasPrefix(env, "KEPT=1\n") || strings.Contains(env, "UCSPITLS=") || strings.Contains(env, "DISABLETLS=") {
		t.Errorf("%q", env)
	}
}
