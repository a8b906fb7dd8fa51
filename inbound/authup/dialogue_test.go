package authup

import (
	"encoding/base64"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"postrider/internal/control"
)

// TestSMTP: the dialogue of the original program, and what it did wrong put right.
func TestSMTP(t *testing.T) {
	for _, c := range []struct {
		reason, script string
		change         func(*talk)
	}{
		{"the original's", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-AUTH LOGIN PLAIN
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: HELO y
			S: 250 me.example
			C: MAIL FROM:<a>
			S: 530 authup authentication required (#5.7.1)
			C: RSET
			S: 530 authup authentication required (#5.7.1)
			C: vrfy
			S: 530 authup authentication required (#5.7.1)
			C: NOOP
			S: 250 ok
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: AUTH
			S: 504 authup auth type unimplemented (#5.5.1)
			C: AUTH CRAM-MD5
			S: 504 authup auth type unimplemented (#5.5.1)
			C: AUTH PLAIN AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH PLAIN
			S: 334 
			C: AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: dXNlcg==
			S: 334 UGFzc3dvcmQ6
			C: cGFzcw==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH LOGIN dXNlcg==
			S: 334 UGFzc3dvcmQ6
			C: cGFzcw==
			S: 535 authup authorization failed (#5.7.0)
			S: 454 authup unable to read pipe (#4.3.0)
			exit 1`, nil},
		{"QUIT, HELP, small letters", `
			S: 220 me.example ESMTP
			C: help me
			S: 214 authup is Postrider's: see qmail-authup(8)
			C: quit
			S: 221 me.example
			exit 0`, nil},
		{"the last of two tries", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH PLAIN AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			exit 1`, func(k *talk) { k.Tries = 2 }},
		{"attempts of no worth cost nothing", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN *
			S: 501 authup auth exchange cancelled (#5.0.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: *
			S: 501 authup auth exchange cancelled (#5.0.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: dXNlcg==
			S: 334 UGFzc3dvcmQ6
			C: *
			S: 501 authup auth exchange cancelled (#5.0.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: 
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH PLAIN
			S: 334 
			C: 
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH LOGIN =
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH PLAIN =
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH PLAIN AHUAcA==
			S: 235 ok, go ahead (#2.0.0)
			exit 0`, func(k *talk) { k.Tries = 1 }},
		{"no capabilities: AUTH is the last line", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250 AUTH LOGIN PLAIN
			C: QUIT
			S: 221 me.example
			exit 0`, func(k *talk) { k.Capabilities = nil }},
		{"broken clients", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-AUTH LOGIN PLAIN
			S: 250 AUTH=LOGIN PLAIN
			C: QUIT
			S: 221 me.example
			exit 0`, func(k *talk) { k.Capabilities, k.env = nil, []string{"AUTHUP_SASL_BROKEN_CLIENTS="} }},
		{"TLS first", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-STARTTLS
			S: 250-AUTH LOGIN PLAIN
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: AUTH PLAIN AHUAcA==
			S: 530 authup Must start TLS first (#5.7.0)
			C: AUTH LOGIN
			S: 530 authup Must start TLS first (#5.7.0)
			C: STARTTLS now
			S: 501 Syntax error (no parameters allowed) (#5.5.4)
			C: QUIT
			S: 221 me.example
			exit 0`, func(k *talk) { k.env = []string{"UCSPITLS=!"} }},
		{"TLS that nobody gives", `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 220 Ready to start TLS (#5.7.0)
			S: 454 authup TLS temporarily not available (#5.7.3)
			exit 1`, func(k *talk) { k.env = []string{"UCSPITLS="} }},
		{"TLS refused by who started us", `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: AUTH PLAIN AHUAcA==
			S: 235 ok, go ahead (#2.0.0)
			exit 0`, func(k *talk) { k.env = []string{"UCSPITLS=!", "DISABLETLS="} }},
		{"no control files", `
			S: 421 authup unable to read controls (#4.3.0)
			exit 1`, func(k *talk) { k.fail = fs.ErrPermission; k.Patience = 0 }},
		{"no checkpassword", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcA==
			S: 454 authup unable to fork (#4.3.0)
			exit 1`, func(k *talk) { k.Command = []string{"no-such-checkpassword", "server"} }},
		{"a program of a path, in a directory", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcA==
			S: 250 ok
			exit 0`, func(k *talk) {
			// checkpassword goes home before it runs the second.
			k.Dir, k.Command = programs, []string{"./checkpassword", programs + "/server", "250 ok"}
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			k := submission()
			if c.change != nil {
				c.change(&k)
			}
			k.play(t, c.script)
		})
	}
}

// TestPOP3: the same for POP3.
func TestPOP3(t *testing.T) {
	for _, c := range []struct {
		reason, script string
		change         func(*talk)
	}{
		{"the original's", `
			S: +OK <18154.1795174845@me.example>
			C: CAPA
			S: +OK capability list follows
			S: USER
			S: TOP
			S: UIDL
			S: .
			C: STAT
			S: -ERR authup authorization first
			C: USER
			S: -ERR authup syntax error
			C: PASS x
			S: -ERR authup USER first
			C: STLS
			S: -ERR STLS not available
			C: NOOP
			S: +OK 
			C: USER joe blow
			S: +OK 
			C: PASS
			S: -ERR authup syntax error
			C: PASS wrong
			S: -ERR authup authorization failed
			exit 1`, nil},
		{"spaces, and who is behind checkpassword speaks first", `
			S: +OK <18154.1795174845@me.example>
			C: USER joe blow
			S: +OK 
			C: PASS a b c
			S: +OK 
			C: STAT
			S: heard STAT
			C: EXIT 100
			exit 100`, nil},
		{"NULs", `
			S: +OK <18154.1795174845@me.example>
			C: USER u\0p
			S: -ERR authup syntax error
			C: USER u
			S: +OK 
			C: PASS p\0
			S: -ERR authup syntax error
			C: PASS p
			S: +OK 
			exit 0`, nil},
		{"TLS first", `
			S: +OK me.example
			C: CAPA
			S: +OK capability list follows
			S: STLS
			S: USER
			S: TOP
			S: UIDL
			S: .
			C: USER u
			S: -ERR authup Must start TLS first
			C: PASS p
			S: -ERR authup USER first
			C: APOP u 00
			S: -ERR authup authorization first
			C: QUIT
			S: +OK 
			exit 0`, func(k *talk) { k.env = []string{"UCSPITLS=!"} }},
		{"TLS that nobody gives", `
			S: +OK me.example
			C: STLS
			S: +OK starting TLS negotiation
			S: -ERR authup TLS temporarily not available
			exit 1`, func(k *talk) { k.env = []string{"UCSPITLS="} }},
		{"more tries", `
			S: +OK <18154.1795174845@me.example>
			C: USER u
			S: +OK 
			C: PASS q
			S: -ERR authup authorization failed
			C: PASS p
			S: +OK 
			exit 0`, func(k *talk) { k.Tries = 2 }},
		{"no control files", `
			S: -ERR authup unable to read controls
			exit 1`, func(k *talk) { k.fail = fs.ErrNotExist }},
		{"a client that goes", `
			S: +OK <18154.1795174845@me.example>
			S: -ERR authup unable to read pipe
			exit 1`, nil},
		{"qmail-popup: bare texts, one attempt, always 1", `
			S: +OK <18154.1795174845@me.example>
			C: STAT
			S: -ERR authorization first
			C: APOP u 00
			S: -ERR authorization first
			C: PASS p
			S: -ERR USER first
			C: USER u
			S: +OK 
			C: PASS q
			S: -ERR authorization failed
			exit 1`, popup},
		{"qmail-popup, right password", `
			S: +OK <18154.1795174845@me.example>
			C: USER u
			S: +OK 
			C: PASS p
			S: +OK 
			exit 1`, popup},
		{"qmail-popup, QUIT", `
			S: +OK <18154.1795174845@me.example>
			C: QUIT
			S: +OK 
			exit 1`, popup},
		{"qmail-popup, a client that goes", `
			S: +OK <18154.1795174845@me.example>
			exit 1`, popup},
		{"qmail-popup, a program that fails", `
			S: +OK <18154.1795174845@me.example>
			C: USER exit14
			S: +OK 
			C: PASS x
			S: -ERR authorization failed
			exit 1`, popup},
		{"qmail-popup, a program that crashes", `
			S: +OK <18154.1795174845@me.example>
			C: USER signal9
			S: +OK 
			C: PASS x
			S: -ERR aack, child crashed
			exit 1`, popup},
	} {
		t.Run(c.reason, func(t *testing.T) {
			k := popbox()
			if c.change != nil {
				c.change(&k)
			}
			k.play(t, c.script)
		})
	}
}

func popup(k *talk) { k.Popup, k.Tries, k.Capabilities = true, 9, nil }

func encode(s string) string { return base64.StdEncoding.EncodeToString([]byte(unquote(s))) }

// TestExitCodes: what the end of checkpassword, or of the program behind it,
// means to the client and to who started us.
func TestExitCodes(t *testing.T) {
	refused := "535 authup authorization failed (#5.7.0)"
	for _, c := range []struct {
		ends, reply string
		code        int
		pop         string
	}{
		{"exit0", "", 0, ""},
		{"exit1", refused, 1, "-ERR authup authorization failed"},
		{"exit2", refused, 1, "-ERR authup authorization failed"},
		{"exit111", refused, 1, "-ERR authup authorization failed"},
		{"exit3", "", 3, ""},
		{"exit14", "", 14, ""},
		{"exit15", "", 15, ""},
		{"exit17", "", 17, ""},
		{"exit100", "", 100, ""},
		{"exit255", "", 255, ""},
		{"exit16", "451 authup timeout (#4.4.2)", 1, "-ERR authup timeout"},
		{"exit18", "421 authup unable to read controls (#4.3.0)", 1, "-ERR authup unable to read controls"},
		{"signal9", "454 authup aack, child crashed (#4.3.0)", 1, "-ERR authup aack, child crashed"},
		{"signal15", "454 authup aack, child crashed (#4.3.0)", 1, "-ERR authup aack, child crashed"},
	} {
		line := func(s string) string { return strings.TrimPrefix(s+"\r\n", "\r\n") }
		k := submission()
		k.Tries = 1
		for _, e := range []struct {
			k                 talk
			greet, ask, reply string
		}{
			{k, "220 me.example ESMTP\r\n", "AUTH PLAIN " + encode(`\0`+c.ends+`\0x`) + "\r\n", line(c.reply)},
			{popbox(), "+OK <18154.1795174845@me.example>\r\n+OK \r\n", "USER " + c.ends + "\r\nPASS x\r\n", line(c.pop)},
		} {
			r := e.k.hold(t, false, inPieces(e.ask, len(e.ask)))
			if r.said != e.greet+e.reply || r.code != c.code {
				t.Errorf("%s of %v: exit %d, %q", c.ends, e.k.Protocol, r.code, r.said)
			}
		}
	}
}

// TestCheckpasswordGets: descriptor 3 to the byte, and AUTHUP_USER as typed.
func TestCheckpasswordGets(t *testing.T) {
	stamp := "<18154.1795174845@me.example>"
	for _, c := range []struct {
		reason string
		k      talk
		sends  string
		want   []string
	}{
		{"PLAIN", submission(), "AUTH PLAIN AHUAcA==\r\n", []string{`"u\x00p\x00\x00"`}},
		{"PLAIN for somebody else", submission(), "AUTH PLAIN " + encode(`boss\0u\0p`) + "\r\n", []string{`"u\x00p\x00\x00"`}},
		{"LOGIN", submission(), "AUTH LOGIN dXNlcg==\r\ncGFzcw==\r\n", []string{`"user\x00pass\x00\x00"`}},
		{"POP3", popbox(), "USER joe blow\r\nPASS a b c\r\n", []string{`"joe blow\x00a b c\x00` + stamp + `\x00"`}},
		{"spaces at the end", popbox(), "USER  u\r\nPASS  p \r\n", []string{`"u\x00p \x00` + stamp + `\x00"`}},
		{"again", submission(), strings.Repeat("AUTH PLAIN AHUAcQ==\r\n", 3), slices.Repeat([]string{`"u\x00q\x00\x00"`}, 3)},
		{"512 bytes", submission(), "AUTH PLAIN " + encode(`\0u\0`+strings.Repeat("x", 508)) + "\r\n", []string{`"u\x00` + strings.Repeat("x", 508) + `\x00\x00"`}},
		{"513 bytes", submission(), "AUTH PLAIN " + encode(`\0u\0`+strings.Repeat("x", 509)) + "\r\n", []string{""}},
		{"513 bytes of POP3", popbox(), "USER u\r\nPASS " + strings.Repeat("x", 512-len(stamp)-3) + "\r\n", []string{""}},
	} {
		r := c.k.hold(t, false, inPieces(c.sends, len(c.sends)))
		if len(r.saw) != len(c.want) {
			t.Fatalf("%s: %q\n%s", c.reason, r.saw, r.said)
		}
		for i, want := range c.want {
			got, facts, _ := strings.Cut(r.saw[i], "\" fds=")
			if want == "" {
				if r.saw[i] != "" || !strings.Contains(r.said, "malformed auth input") && !strings.Contains(r.said, "syntax error") {
					t.Errorf("%s: %q\n%s", c.reason, r.saw[i], r.said)
				}
				continue
			}
			user := strings.TrimPrefix(strings.SplitN(want, `\x00`, 2)[0], `"`)
			if got+`"` != want || !strings.HasPrefix(facts, "0,1,2,3 ") || !strings.HasSuffix(facts, " user="+user) {
				t.Errorf("%s: %s, want %s, fds=0,1,2,3 and user=%s", c.reason, r.saw[i], want, user)
			}
		}
	}
}

// TestEnvironment: what the program behind checkpassword finds.
func TestEnvironment(t *testing.T) {
	k := submission()
	k.env = []string{"UCSPITLS=-", "DISABLETLS=1", "SSLCTLFD=7", "SSLREADFD=8", "SSLWRITEFD=9", "AUTHUP_USER=stale", "TCPREMOTEIP=192.0.2.1"}
	k.play(t, `
		S: 220 me.example ESMTP
		C: AUTH PLAIN AHUAcA==
		S: 235 ok, go ahead (#2.0.0)
		C: ENV AUTHUP_USER
		S: "u"
		C: ENV TCPREMOTEIP
		S: "192.0.2.1"
		C: ENV UCSPITLS
		S: unset
		C: ENV DISABLETLS
		S: unset
		C: ENV SSLCTLFD
		S: unset
		C: ENV SSLREADFD
		S: unset
		C: ENV SSLWRITEFD
		S: unset
		C: FACTS
		S: fds=0,1,2 uid=`+itoa(os.Getuid())+` cwd=/ user=u
		C: EXIT 4
		exit 4`)
}

// TestNothingIsLost: what a client sends behind its password, without waiting,
// is the program's: all of it, once, in order, where the password is right, and
// ours where it is not.
func TestNothingIsLost(t *testing.T) {
	var script strings.Builder
	script.WriteString("S: 220 me.example ESMTP\nC: AUTH PLAIN AHUAcQ==\nS: 535 authup authorization failed (#5.7.0)\n" +
		"C: AUTH LOGIN dQ==\nS: 334 UGFzc3dvcmQ6\nC: cA==\nS: 235 ok, go ahead (#2.0.0)\n")
	for i := range 1000 {
		line := "line " + itoa(i) + strings.Repeat("x", i%97)
		script.WriteString("C: " + line + "\nS: heard " + line + "\n")
	}
	script.WriteString("exit 0")
	submission().play(t, script.String())
}

// TestLog: a line for each thing that happened, and no word in it is a client's.
func TestLog(t *testing.T) {
	k := submission()
	r := k.hold(t, false, inPieces("AUTH PLAIN "+encode("\\0evil\nauthup 1 user\x1b[2J\\0hunter2")+"\r\nAUTH PLAIN AHUAcA==\r\n", 1<<20))
	pids := strings.Fields(r.log)
	if len(pids) < 22 {
		t.Fatal(r.log)
	}
	first, second := pids[7], pids[21]
	want := "authup 18154 protocol smtp\n" +
		"authup 18154 checkpassword " + first + " attempt for evil?authup?1?user?[2J\n" +
		"authup 18154 checkpassword " + first + " failed, 4 remaining\n" +
		"authup 18154 checkpassword " + second + " attempt for u\n" +
		"authup 18154 checkpassword " + second + " succeeded, child completed\n"
	if r.log != want {
		t.Errorf("log\n%s\nwant\n%s", r.log, want)
	}
}

// TestLoad reads control files.
func TestLoad(t *testing.T) {
	for _, c := range []struct {
		reason string
		files  map[string]string
		p      Protocol
		want   Config
		fails  string
	}{
		{"me and capabilities", map[string]string{"me": "me.example \nx\n", "smtpcapabilities": "# of ofmipd\nPIPELINING\n\n8BITMIME \n"}, SMTP,
			Config{Greeting: "me.example", Capabilities: []string{"PIPELINING", "8BITMIME"}, Patience: 1200 * time.Second}, ""},
		{"its own name, its own time", map[string]string{"smtpgreeting": "mx ready", "smtpcapabilities": "", "timeoutsmtpd": "30"}, SMTP,
			Config{Greeting: "mx ready", Patience: 30 * time.Second}, ""},
		{"POP3", map[string]string{"me": "m", "pop3greeting": "pop", "pop3capabilities": "TOP", "timeoutpop3d": "0"}, POP3,
			Config{Protocol: POP3, Greeting: "pop", Capabilities: []string{"TOP"}, Patience: time.Second}, ""},
		{"no name", map[string]string{"smtpcapabilities": ""}, SMTP, Config{}, "control/smtpgreeting: file does not exist"},
		{"no capabilities", map[string]string{"me": "m", "smtpcapabilities": ""}, POP3, Config{}, "control/pop3capabilities: file does not exist"},
	} {
		c2, err := Load(home(t, c.files), c.p)
		if c.fails != "" {
			if err == nil || err.Error() != c.fails {
				t.Errorf("%s: %v, want %s", c.reason, err, c.fails)
			}
			continue
		}
		if err != nil || c2.Protocol != c.want.Protocol || c2.Greeting != c.want.Greeting || c2.Patience != c.want.Patience || !slices.Equal(c2.Capabilities, c.want.Capabilities) {
			t.Errorf("%s: %+v, %v, want %+v", c.reason, c2, err, c.want)
		}
	}
	c, err := LoadPopup(home(t, nil), "pop.example")
	if err != nil || c.Greeting != "pop.example" || c.Patience != 1200*time.Second || !c.Popup || c.Protocol != POP3 {
		t.Errorf("qmail-popup: %+v, %v", c, err)
	}
	if _, err := Load(control.Dir("/proc/self/no-such-home"), SMTP); err == nil {
		t.Error("no home, no error")
	}
}
