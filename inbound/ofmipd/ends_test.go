package ofmipd

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/inbound"
	"postrider/internal/queuetest"
)

// S23: a client that goes before the last dot has sent nothing.
func TestGone(t *testing.T) {
	for _, in := range []string{mailing, mailing + "X: y\r\n", mailing + "X: y\r\n\r\nbody\r\n", mailing + "\r\n.", mailing + "x."} {
		home := queuetest.New(t)
		if said, exit := talk(t, home, in, Program{}); said != hello+toData || exit != 1 {
			t.Errorf("%q: %q, exit %d", in, said, exit)
		}
		for _, m := range home.Messages(t) {
			if m.Taken || m.Envelope != "" {
				t.Errorf("%q: %+v", in, m)
			}
		}
	}
}

// S1: what others have taken for the end of a message is none from a mail server,
// whose lines end in CRLF; a person may end them as he likes.
func TestSmuggling(t *testing.T) {
	const stray = "451 See https://cr.yp.to/docs/smtplf.html.\r\n"
	const inner = "MAIL FROM:<evil@x>\r\nRCPT TO:<victim@y>\r\nDATA\r\nevil\r\n.\r\nQUIT\r\n"
	for _, end := range []string{"\n.\n", "\n.\r\n", "\r\n.\n"} {
		for env, want := range map[string]int{"X=": 1, "AUTHUP_USER=joe": 14} {
			home := queuetest.New(t)
			said, exit := talk(t, home, mailing+"X: y\r\n\r\na"+end+inner, Program{Env: inbound.Env{env}})
			if !strings.HasSuffix(said, toData+stray) || exit != want {
				t.Errorf("%q: %q, exit %d", end, said, exit)
			}
			if list := home.Messages(t); len(list) != 1 || list[0].Taken || list[0].Envelope != "" {
				t.Errorf("%q: %+v", end, list)
			}
		}
		m := deliver(t, queuetest.New(t), strings.ReplaceAll(mailing, "\r", "")+"X: y\n\na"+end+"QUIT\n", Program{})
		if !strings.HasSuffix(m.Content, "\n\na\n") {
			t.Errorf("%q, by a person: %q", end, m.Content)
		}
	}
	for _, end := range []string{"\r.\r\n", "\r\n.\r\r\n", "\r.\r"} {
		m := deliver(t, queuetest.New(t), mailing+"X: y\r\n\r\na"+end+inner, Program{})
		if !strings.Contains(m.Content, "victim@y") || m.Envelope != queuetest.Envelope("joe@me.example", "a@here.me.example") {
			t.Errorf("%q: %+v", end, m)
		}
	}
}

func TestTimeout(t *testing.T) {
	for env, want := range map[string]int{"X=": 1, "AUTHUP_USER=": 16} {
		c := serve(t, queuetest.New(t), Program{Wire: &inbound.Descriptors{Patience: 10 * time.Millisecond}, Env: inbound.Env{env}})
		said, err := io.ReadAll(c)
		if exit := <-c.exit; err != nil || strings.Count(string(said), "\r\n") != 1 || exit != want {
			t.Errorf("%s: %q, %v, exit %d", env, said, err, exit)
		}
	}
}

func TestStartUpFails(t *testing.T) {
	const last = "451 unable to read configuration (#4.3.0)\r\n"
	damaged := queuetest.New(t)
	if err := os.Mkdir(filepath.Join(string(damaged), "control/rewrite"), 0o700); err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]int{"X=": 1, "AUTHUP_USER=joe": 14} {
		for why, p := range map[string]struct {
			home  queuetest.Home
			names string
		}{
			"no home":  {"/nonexistent", ""},
			"no names": {queuetest.New(t), "/nonexistent/names.cdb"},
			"damaged":  {damaged, ""},
		} {
			if said, exit := talk(t, p.home, "QUIT\r\n", Program{Names: p.names, Env: inbound.Env{env}}); said != last || exit != want {
				t.Errorf("%s, %s: %q, exit %d", why, env, said, exit)
			}
		}
	}
}

// How it ends below qmail-authup, where 1, 2, 18 and 111 would mean something
// else.
func TestAuthup(t *testing.T) {
	const welcome = "235 ok, go ahead (#2.0.0)\r\n"
	for in, want := range map[string]struct {
		said string
		exit int
	}{
		"QUIT\r\n":                      {bye, 0},
		"":                              {"", 0},
		"NOOP":                          {"", 0},
		mailing + "X: y\r\n":            {toData, 0},
		mailing + "X: y" + quit:         {toData + taken + bye, 0},
		"EHLO x\r\n":                    {"250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n", 0},
		"AUTH PLAIN\r\nSTARTTLS\r\n":    {"502 unimplemented (#5.5.1)\r\n502 unimplemented (#5.5.1)\r\n", 0},
		strings.Repeat("x", 65<<10):     {"500 line too long (#5.5.2)\r\n", 15},
		"GET / HTTP/1.1\r\nHost: x\r\n": {"221 this server speaks SMTP only (#4.7.0)\r\n", 0},
	} {
		env := inbound.Env{"AUTHUP_USER=", "UCSPITLS=!"} // which qmail-authup takes out
		if said, exit := talk(t, queuetest.New(t), in, Program{Env: env}); said != welcome+want.said || exit != want.exit {
			t.Errorf("%.40q: %q, exit %d", in, said, exit)
		}
	}
}

// A client that does not even read.
func TestAuthupUnread(t *testing.T) {
	c := serve(t, queuetest.New(t), Program{Env: inbound.Env{"AUTHUP_USER=joe"}})
	c.Close()
	if exit := <-c.exit; exit != 0 {
		t.Errorf("exit %d", exit)
	}
}

// STARTTLS is offered and demanded as UCSPITLS says.
func TestLevels(t *testing.T) {
	const offered, first = "250-STARTTLS\r\n", "530 Must start TLS first (#5.7.0)\r\n"
	for env, want := range map[string][2]string{
		"X=":         {"", "250 ok\r\n"},
		"UCSPITLS=-": {"", "250 ok\r\n"},
		"UCSPITLS=":  {offered, "250 ok\r\n"},
		"UCSPITLS=!": {offered, first},
	} {
		said, exit := talk(t, queuetest.New(t), "EHLO x\r\nMAIL FROM:<a>\r\nQUIT\r\n", Program{Env: inbound.Env{env}})
		if want := hello + "250-me.example\r\n" + want[0] + "250-PIPELINING\r\n250 8BITMIME\r\n" + want[1] + bye; said != want || exit != 0 {
			t.Errorf("%s: %q, exit %d", env, said, exit)
		}
	}
}
