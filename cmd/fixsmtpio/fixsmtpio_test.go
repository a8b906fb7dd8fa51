package main

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/proctest"
)

func example(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../examples/control/fixsmtpio")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestExitCodes(t *testing.T) {
	for reason, c := range map[string]struct {
		world
		say  string
		code int
		log  string // part of it
	}{
		"the server's":         {world{script: []string{"EOF=exit 33"}}, "NOOP", 33, ""},
		"the server's, high":   {world{script: []string{"RSET=exit 137"}}, "RSET", 137, ""},
		"a killed server":      {world{script: []string{"RSET=signal 9"}}, "RSET", 1, "fixsmtpio: aack, child crashed\n"},
		"before rules":         {world{script: []string{"EOF=signal 9"}, control: map[string]string{"fixsmtpio": ":rset::*:42:"}}, "RSET", 1, "fixsmtpio: aack, child crashed\n"},
		"a rule's":             {world{script: []string{"EOF=exit 33"}, control: map[string]string{"fixsmtpio": ":rset::2*:42:250 bye"}}, "RSET", 42, ""},
		"at the client's end":  {world{control: map[string]string{"fixsmtpio": ":clienteof::*:0:"}}, "NOOP", 0, ""},
		"bad rules":            {world{control: map[string]string{"fixsmtpio": "# fine\n:x::*:\n"}}, "", 18, "fixsmtpio: unable to parse control/fixsmtpio: \":x::*:\": not six fields\n"},
		"no name":              {world{control: map[string]string{"me": "absent"}}, "", 1, "fixsmtpio: unable to read controls: control/me: "},
		"no home":              {world{env: []string{"QMAILHOME=/nonexistent"}}, "", 1, "fixsmtpio: unable to change directory: "},
		"no program":           {world{prog: []string{"/nonexistent/prog"}}, "", 1, "fixsmtpio: unable to run /nonexistent/prog: no such file"},
		"no such word in PATH": {world{prog: []string{"nonexistent-prog"}}, "", 1, "fixsmtpio: unable to run nonexistent-prog: no such file"},
		"no name, authup":      {world{control: map[string]string{"me": "absent"}, env: []string{"AUTHUP_USER=joe"}}, "", 18, "fixsmtpio: unable to read controls: control/me: "},
		"no program, authup":   {world{prog: []string{"/nonexistent/prog"}, env: []string{"AUTHUP_USER=joe"}}, "", 14, "fixsmtpio: unable to run /nonexistent/prog: no such file"},
		"usage":                {world{prog: []string{""}}, "", 1, "fixsmtpio: usage: "},
		"found by PATH":        {world{prog: []string{"sh", "-c", "exit 7"}}, "", 7, ""},
		"out of step":          {world{script: []string{"NOOP=354 go"}}, "NOOP", 1, "fixsmtpio: the server waits for content"},
	} {
		r := begin(t, c.world)
		if c.say != "" {
			r.Say(c.say)
		}
		if code, log := r.end(); code != c.code || !strings.Contains(log, c.log) || c.log == "" && strings.Contains(log, "fixsmtpio") {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
}

func TestNoFixsmtpio(t *testing.T) {
	r := begin(t, world{env: []string{"NOFIXSMTPIO=", "UCSPITLS=!"}, script: []string{"HELP=cwd|214 ok"}, control: map[string]string{"fixsmtpio": "nonsense"}})
	r.Say("HELP|QUIT")
	here, _ := os.Getwd()
	r.Hears("220 kid ESMTP", "250-"+here, "214 ok", "221 kid", "")
	if code, log := r.over(); code != 0 || !strings.HasPrefix(log, "heard HELP\n") {
		t.Errorf("exit %d, log %q", code, log)
	}
	r = begin(t, world{env: []string{"NOFIXSMTPIO=1"}, prog: []string{"/nonexistent/prog"}})
	if code, log := r.over(); code != 1 || !strings.Contains(log, "unable to run") {
		t.Errorf("exit %d, log %q", code, log)
	}
}

// TestPort25 is a whole session by our rules, in one segment and byte by byte.
func TestPort25(t *testing.T) {
	const input = "EHLO x|MAIL FROM:<a@b>|RCPT TO:<c@d>|DATA|Subject: MAIL||QUIT|..|.|HELP|QUIT|"
	for reason, size := range map[string]int{"at once": len(input) * 2, "in single bytes": 1, "by three": 3} {
		r := begin(t, world{control: map[string]string{"fixsmtpio": example(t)}, env: []string{"UCSPITLS="},
			script: []string{"RCPT=451 GL - temporary problem", "DATA=354 go", ".=250 ok 1 qp 2", "HELP=214 kid"}})
		for b := range slices.Chunk([]byte(strings.ReplaceAll(input, "|", "\r\n")), size) {
			if _, err := r.client.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		r.Hears("220 me.example ESMTP", "250-me.example", "250-STARTTLS", "250-PIPELINING", "250-AUTH LOGIN", "250 8BITMIME",
			"250 ok", "451 greylisted, retry later (#4.7.1)", "354 go", "250 ok 1 qp 2",
			"214-fixsmtpio is Postrider's: see fixsmtpio(8)", "214 kid", "221 me.example", "")
		code, log := r.over()
		if code != 0 || log != `heard EHLO x
heard MAIL FROM:<a@b>
heard RCPT TO:<c@d>
heard DATA
content "Subject: MAIL\r\n"
content "\r\n"
content "QUIT\r\n"
content "..\r\n"
heard HELP
heard QUIT
` {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
}

// TestSubmission is a session below qmail-authup, by our rules.
func TestSubmission(t *testing.T) {
	for reason, c := range map[string]struct {
		script []string
		say    string
		hears  []string
		code   int
	}{
		"a session": {nil, "EHLO x|AUTH LOGIN|NOOP", []string{"235 ok, go ahead (#2.0.0)", "250-me.example", "250-PIPELINING", "250 8BITMIME", "502 unimplemented (#5.5.1)", "250 ok", ""}, 0},
		"no say":    {nil, "", []string{"235 ok, go ahead (#2.0.0)", ""}, 0},
		"not now":   {[]string{"GREETING=421 nope"}, "", []string{"421 nope", ""}, 14},
		"never":     {[]string{"GREETING=554 nope"}, "", []string{"554 nope", ""}, 15},
		"QUIT":      {nil, "QUIT", []string{"235 ok, go ahead (#2.0.0)", "221 me.example", ""}, 0},
		"crashed":   {[]string{"NOOP=signal 9"}, "NOOP", []string{"235 ok, go ahead (#2.0.0)", "421 internal error (#4.3.0)", ""}, 14},
		"no sense":  {[]string{"NOOP=354 go"}, "NOOP", []string{"235 ok, go ahead (#2.0.0)", "354 go", "421 internal error (#4.3.0)", ""}, 14},
		"too long":  {nil, strings.Repeat("x", 66000), []string{"235 ok, go ahead (#2.0.0)", "500 line too long (#5.5.2)", ""}, 14},
	} {
		r := begin(t, world{control: map[string]string{"fixsmtpio": example(t)}, env: []string{"AUTHUP_USER=joe"}, script: c.script})
		r.Hears(c.hears[0])
		if c.say != "" {
			r.Say(c.say)
		}
		r.client.SetReadDeadline(time.Now().Add(time.Minute))
		hears := c.hears[1:]
		if c.code == 0 && reason != "QUIT" {
			r.Hears(hears[:len(hears)-1]...)
			hears = hears[len(hears)-1:]
			r.end()
		}
		r.Hears(hears...)
		if code, log := r.over(); code != c.code {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
}

// TestTimeout: the server's time is over while the client has begun a line. Its
// words are taken away, and nobody has been busy meanwhile.
func TestTimeout(t *testing.T) {
	// A server of little processor time, which is counted with the rest.
	const tired = `sleep 1; printf '451 timeout (#4.4.2)\r\n'; exit 1`
	r := begin(t, world{control: map[string]string{"fixsmtpio": example(t)}, env: []string{"AUTHUP_USER=joe"}, prog: []string{"sh", "-c", `printf '220 kid\r\n'; ` + tired}})
	r.Hears("235 ok, go ahead (#2.0.0)")
	io.WriteString(r.client, "NOO")
	r.Hears("")
	if code, log := r.over(); code != 16 || log != "" {
		t.Errorf("exit %d, log %q", code, log)
	}
	r.idle()
	r = begin(t, world{prog: []string{"sh", "-c", `printf '220 kid\r\n'; read -r x; ` + tired}})
	r.Say("DATA" + strings.Repeat("|QUIT", 2000)) // more than is read at once
	r.Hears("220 kid", "451 timeout (#4.4.2)", "")
	if code, _ := r.over(); code != 1 {
		t.Errorf("waiting for DATA: exit %d", code)
	}
	r.idle()
}

// idle wants a session that is over to have waited, most of its time.
func (r *session) idle() {
	r.T.Helper()
	if used := r.cmd.ProcessState.UserTime() + r.cmd.ProcessState.SystemTime(); used > 500*time.Millisecond {
		r.T.Errorf("%v of processor time", used)
	}
}

// TestSlowServer: what it has not taken when the client leaves, it still gets.
func TestSlowServer(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r := begin(t, world{env: []string{"FIFO=" + fifo}, prog: []string{"sh", "-c", `printf '220 kid\r\n'; read -r x <"$FIFO"; wc -c >&2`}})
	r.Hears("220 kid")
	line := "NOOP " + strings.Repeat("x", 93) + "|"
	r.Say(strings.TrimSuffix(strings.Repeat(line, 900), "|")) // more than a pipe holds
	r.client.CloseWrite()
	if err := os.WriteFile(fifo, []byte("\n"), 0); err != nil {
		t.Fatal(err)
	}
	r.Hears("")
	if _, log := r.over(); strings.TrimSpace(log) != "90000" {
		t.Errorf("log %q", log)
	}
}

// TestClientGone: a client that takes no more, or is suddenly away, is one that
// has closed.
func TestClientGone(t *testing.T) {
	rules := map[string]string{"fixsmtpio": ":clienteof::*:3:", "timeoutsmtpd": "1"}
	r := begin(t, world{control: rules, script: []string{"NOOP=flood"}})
	r.Hears("220 kid ESMTP")
	r.Say("NOOP|")
	if code, log := r.over(); code != 3 || log != "heard NOOP\nheard \n" {
		t.Errorf("takes no more: exit %d, log %q", code, log)
	}
	r = begin(t, world{control: rules, script: []string{"NOOP=250 ok"}})
	r.Say("NOOP|NOOP|half")
	r.client.Close()
	if code, _ := r.over(); code != 3 {
		t.Errorf("away: exit %d", code)
	}
}

// TestMuchContent: more than any buffer holds, with a line that has no end.
func TestMuchContent(t *testing.T) {
	r := begin(t, world{prog: []string{"sh", "-c", `printf '220 kid\r\n'; read -r x; printf '354 go\r\n'; head -c 16777216 | cksum >&2; read -r x; echo "$x" >&2; printf '250 took\r\n'; read -r x; exit 9`}})
	r.Say("DATA")
	r.Hears("220 kid", "354 go")
	for range 256 {
		if _, err := io.WriteString(r.client, strings.Repeat("x", 64<<10)); err != nil {
			t.Fatal(err)
		}
	}
	r.Say("|.")
	r.Hears("250 took")
	if code, log := r.end(); code != 9 || log != "3990798175 16777216\n\r\n" {
		t.Errorf("exit %d, log %q", code, log)
	}
}

func TestDebug(t *testing.T) {
	r := begin(t, world{env: []string{"FIXSMTPIODEBUG=1"}, control: map[string]string{"fixsmtpio": ":rset:NOOP :*::250 x"}, script: []string{"DATA=354 go"}})
	r.Hears("220 kid ESMTP")
	r.Say("RSET \x1b[1m")
	r.Hears("250 x")
	r.Say("DATA")
	r.Hears("354 go")
	r.Say("content|.")
	r.Hears("250 ok")
	_, log := r.end()
	for _, want := range []string{" 3: 220 kid ESMTP", " 4: 220 kid ESMTP", " 1: RSET ?[1m", " 2: NOOP RSET ?[1m", " 3: 250 ok", " 4: 250 x", " D: content"} {
		found := false
		for line := range strings.Lines(log) {
			rest, ok := strings.CutPrefix(line, "fixsmtpio ")
			_, rest, ok2 := strings.Cut(rest, " KID ")
			found = found || ok && ok2 && strings.HasSuffix(rest, want+"\n")
		}
		if !found {
			t.Errorf("no line %q in %q", want, log)
		}
	}
}

// TestSTARTTLS: a new server with a new environment, and nothing of what was
// said in clear.
func TestSTARTTLS(t *testing.T) {
	h := proctest.NewHelper(t)
	r := begin(t, world{extra: h.Files, control: map[string]string{"fixsmtpio": example(t)},
		env:    append(h.Env, "UCSPITLS=!", "SSL_CIPHER=stale", "SSL_TLS_SNI_SERVERNAME=stale"),
		script: []string{"NOOP=env|fds|250 end", "EOF=silence"}}) // it ends when it must
	h.Given()
	r.Hears("220 me.example ESMTP")
	r.Say("EHLO x|MAIL FROM:<a>|NOOP")
	r.Hears("250-me.example", "250-STARTTLS", "250-PIPELINING", "250-AUTH LOGIN", "250 8BITMIME", "530 Must start TLS first (#5.7.0)")
	has := r.reply()
	for name, want := range map[string]bool{"UCSPITLS=!": true, "SSL_CIPHER=stale": true, "SSLCTLFD=3": false, "FIXSMTPIOTLS=1": false} {
		if slices.Contains(has, name) != want {
			t.Errorf("in clear %s: %v, in %q", name, !want, has)
		}
	}
	if !slices.Contains(has, "descriptor 2") || slices.Contains(has, "descriptor 3") || slices.Contains(has, "descriptor 4") || slices.Contains(has, "descriptor 5") {
		t.Errorf("the server's descriptors: %q", has)
	}
	r.Say("STARTTLS|RSET|MAIL FROM:<evil>")
	r.Hears("220 Ready to start TLS (#5.7.0)")
	h.Asked(t)
	io.WriteString(h.Ctl, "SSL_PROTOCOL=TLSv1.3\x00SSL_CIPHER=X\x00SSL_TLS_SNI_SERVERNAME\x00LD_PRELOAD=y\x00\x00") // and it stays open
	r.R, r.W = bufio.NewReader(h.R), h.W
	r.Say("EHLO x|MAIL FROM:<a>|NOOP")
	r.Hears("250-me.example", "250-PIPELINING", "250-AUTH LOGIN", "250 8BITMIME", "250 ok")
	has = r.reply()
	for name, want := range map[string]bool{"FIXSMTPIOTLS=1": true, "SSL_PROTOCOL=TLSv1.3": true, "SSL_CIPHER=X": true, "SSL_CIPHER=stale": false,
		"SSL_TLS_SNI_SERVERNAME=stale": false, "UCSPITLS=!": false, "LD_PRELOAD=y": false} {
		if slices.Contains(has, name) != want {
			t.Errorf("under TLS %s: %v, in %q", name, !want, has)
		}
	}
	if kids := proctest.Children(t, r.cmd.Process.Pid); len(kids) != 1 {
		t.Errorf("servers: %d", len(kids))
	}
	r.Say("STARTTLS|QUIT")
	r.Hears("502 unimplemented (#5.5.1)", "221 me.example", "")
	code, log := r.over()
	if code != 0 || strings.Contains(log, "RSET") || strings.Contains(log, "evil") || strings.Contains(log, "fixsmtpio:") {
		t.Errorf("exit %d, log %q", code, log)
	}
}

func TestSTARTTLSFails(t *testing.T) {
	for reason, answer := range map[string]string{"no session": "", "cut short": "SSL_PROTOCOL=x", "nonsense": "\x00SSL_A=x\x00\x00"} {
		h := proctest.NewHelper(t)
		r := begin(t, world{extra: h.Files, env: append(h.Env, "UCSPITLS=")})
		h.Given()
		r.Hears("220 kid ESMTP")
		r.Say("STARTTLS")
		r.Hears("220 Ready to start TLS (#5.7.0)")
		h.Asked(t)
		io.WriteString(h.Ctl, answer)
		h.Ctl.Close()
		r.Hears("")
		if code, log := r.over(); code != 1 || !strings.Contains(log, "fixsmtpio: unable to start TLS: ") {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
	for reason, env := range map[string][]string{"closed": {"SSLCTLFD=30", "SSLREADFD=31", "SSLWRITEFD=32"}, "no numbers": {"SSLCTLFD=x", "SSLREADFD=31", "SSLWRITEFD=32"}, "none": nil} {
		r := begin(t, world{env: append(env, "UCSPITLS=!")})
		r.Hears("220 kid ESMTP")
		r.Say("STARTTLS")
		if reason == "closed" {
			r.Hears("220 Ready to start TLS (#5.7.0)", "")
		} else {
			r.Hears("454 TLS temporarily not available (#4.7.0)")
			r.Say("MAIL FROM:<a>")
			r.Hears("530 Must start TLS first (#5.7.0)")
		}
		if code, log := r.end(); code != 1 || (reason == "closed") != strings.Contains(log, "unable to start TLS") {
			t.Errorf("descriptors %s: exit %d, log %q", reason, code, log)
		}
	}
}
