package authup

import (
	"encoding/base64"
	"os"
	"slices"
	"strings"
	"testing"
)

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
