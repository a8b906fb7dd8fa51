package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/internal/authtest"
	"postrider/internal/constmap"
	"postrider/internal/proctest"
	"postrider/internal/queuetest"
)

// bin has the built programs, and those of authtest.
var bin string

func TestMain(m *testing.M) {
	authtest.Main()
	authtest.Run(m, &bin, func(dir string) error {
		return proctest.Build(dir, "qmail-ofmipd", "qmail-authup", "ucspi-tlsd", "ucspi-tlsd-io")
	})
}

// command is a program below home, in this environment.
func command(t *testing.T, home queuetest.Home, args []string, env ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...)
	cmd.Env = append(append(home.Env("", ""), "PATH="+bin+":/usr/bin:/bin"), env...)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = time.Minute
	return cmd
}

var (
	alone  = []string{"qmail-ofmipd"}
	authup = []string{"qmail-authup", "smtp", "checkpassword", "qmail-ofmipd"}
)

const (
	hello = "220 me.example ESMTP\r\n"
	bye   = "221 me.example\r\n"
	sent  = "250 ok\r\n250 ok\r\n250 ok\r\n354 go ahead\r\n250 ok\r\n"

	mail = "MAIL FROM:<joe>\r\nRCPT TO:<a@here>\r\nRCPT TO:bob@x.y\r\nDATA\r\n" +
		"Subject: hi\r\nTo: Joe <joe@here>\r\nReceived: foo\r\nBcc: secret\r\nX: y\r\nbody line\r\n..dot\r\n.\r\n"
	envelope = "Fjoe@me.example\x00Ta@here.me.example\x00Tbob@x.y\x00\x00"
)

// message is mail as it is queued.
const message = `Received: (ofmipd we?ird@1.2.3.4); NOW
Received: foo
Date: NOW
Message-ID: <ID.1.PID.qmail@me.example>
From: joe@me.example
To: "Joe" <joe@here.me.example>
Subject: hi
X: y

body line
.dot
`

// mask puts words for what is different each time, pid among it.
func mask(content string, pid int) string {
	content = regexp.MustCompile(`\d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d -0000\n`).ReplaceAllString(content, "NOW\n")
	return regexp.MustCompile(`<\d{14}\.(\d+)\.`+fmt.Sprint(pid)+`\.`).ReplaceAllString(content, "<ID.$1.PID.")
}

func TestPipes(t *testing.T) {
	home := queuetest.New(t)
	cmd := command(t, home, alone, "TCPREMOTEIP=1.2.3.4", "TCPREMOTEINFO=we@ird")
	cmd.Stdin = strings.NewReader(mail + "QUIT\r\n")
	out, err := cmd.Output()
	if string(out) != hello+sent+bye || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	m := home.Only(t)
	if got := mask(m.Content, cmd.Process.Pid); got != message || m.Envelope != envelope {
		t.Errorf("%q\n%s", m.Envelope, got)
	}
}

// QMAILQUEUE is honoured, which mess822's ofmipd does not do.
func TestQMAILQUEUE(t *testing.T) {
	home := queuetest.New(t)
	if err := os.Rename(string(home)+"/bin/qmail-queue", string(home)+"/bin/filter"); err != nil {
		t.Fatal(err)
	}
	cmd := command(t, home, alone, "QMAILQUEUE=bin/filter")
	cmd.Stdin = strings.NewReader(mail + "QUIT\r\n")
	out, err := cmd.Output()
	if string(out) != hello+sent+bye || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	home.Only(t)
}

// The names are a file relative to where the program is started.
func TestNames(t *testing.T) {
	b := constmap.NewBuilder(nil)
	b.Put([]byte("joe@me.example"), []byte("Joe Shmoe\x00J.Shmoe@sun.af.mil"))
	names, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/names.cdb", names, 0o600); err != nil {
		t.Fatal(err)
	}
	home := queuetest.New(t)
	cmd := command(t, home, []string{"qmail-ofmipd", "names.cdb"})
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(mail + "QUIT\r\n")
	if out, err := cmd.Output(); string(out) != hello+sent+bye || err != nil {
		t.Errorf("%q, %v", out, err)
	}
	m := home.Only(t)
	if !strings.HasPrefix(m.Envelope, "FJ.Shmoe@sun.af.mil\x00T") || !strings.Contains(m.Content, "\nFrom: \"Joe Shmoe\" <J.Shmoe@sun.af.mil>\n") {
		t.Errorf("%q\n%s", m.Envelope, m.Content)
	}
}

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		in, env, want string
		code          int
	}{
		{"QUIT\r\n", "X=", hello + bye, 0},
		{"", "X=", hello, 1},
		{"NOOP\r\n", "X=", hello + "250 ok\r\n", 1},
		{"", "QMAILHOME=/nonexistent", "451 unable to read configuration (#4.3.0)\r\n", 1},
	} {
		cmd := command(t, queuetest.New(t), alone, c.env)
		cmd.Stdin = strings.NewReader(c.in)
		out, _ := cmd.Output()
		if string(out) != c.want || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%q: %q, %v", c.in, out, cmd.ProcessState)
		}
	}
	for env, want := range map[string]int{"X=": 1, "AUTHUP_USER=joe": 0} {
		cmd := command(t, queuetest.New(t), alone, env)
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		cmd.Stdout = w // nobody reads, and SIGPIPE is not how it ends
		cmd.Run()
		w.Close()
		if cmd.ProcessState.ExitCode() != want {
			t.Errorf("with nobody to speak to, %s: %v", env, cmd.ProcessState)
		}
	}
}

// Below qmail-authup, which says nothing of its own once the password was
// right.
func TestAuthup(t *testing.T) {
	login := "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00u\x00p")) + "\r\n"
	const welcome = "235 ok, go ahead (#2.0.0)\r\n"
	ehlo := "250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"
	for _, c := range []struct {
		in, env, want string
		code          int
	}{
		{"QUIT\r\n", "X=", welcome + bye, 0},
		{"", "X=", welcome, 0},
		{"EHLO x\r\nAUTH PLAIN\r\nSTARTTLS\r\n" + mail + "QUIT\r\n", "UCSPITLS=", welcome + ehlo + strings.Repeat("502 unimplemented (#5.5.1)\r\n", 2) + sent + bye, 0},
		{strings.Repeat("x", 65<<10), "X=", welcome + "500 line too long (#5.5.2)\r\n", 15},
		{"QUIT\r\n", "broken", "451 unable to read configuration (#4.3.0)\r\n", 14},
	} {
		home := queuetest.New(t)
		home.Control(t, "smtpcapabilities", "PIPELINING\n8BITMIME\n")
		home.Control(t, "passwords", "u:p::"+string(home)+"\n")
		if c.env == "broken" {
			if err := os.Mkdir(string(home)+"/control/rewrite", 0o755); err != nil {
				t.Fatal(err)
			}
		}
		cmd := command(t, home, authup, c.env, authtest.PasswordFile+"="+string(home)+"/control/passwords")
		cmd.Stdin, cmd.Stderr = strings.NewReader(login+c.in), nil
		out, _ := cmd.Output()
		if string(out) != hello+c.want || cmd.ProcessState.ExitCode() != c.code {
			t.Errorf("%.40q: %q, %v", c.in, out, cmd.ProcessState)
		}
		if strings.Contains(c.in, mail) && home.Only(t).Envelope != envelope {
			t.Errorf("%+v", home.Only(t))
		}
	}
}
