package smtptest

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const small = `Shows a small dialogue.
-- control/me --
mail.example
-- argv --
example.net "" "a b"@example.net
-- dns --
example.net. MX 10 mx.example.net.
-- message.quoted --
"a\r\n" "b\xff"*2
# and its end
"\n"
-- 192.0.2.7:25 --
< 220 mx
> EHLO mail.example
< 250-mx
< 250 PIPELINING
> QUIT
== next connection ==
!refuse
-- [2001:db8::7]:25 --
!refuse
-- report --
r\0
Kx\\\x7f\n\0
`

func TestParseDialogue(t *testing.T) {
	d, err := ParseDialogue([]byte(small))
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"example.net", "", "a b@example.net"}; !slices.Equal(d.Argv, want) {
		t.Errorf("argv is %q, want %q", d.Argv, want)
	}
	if want := "a\r\nb\xffb\xff\n"; string(d.Message) != want {
		t.Errorf("message is %q, want %q", d.Message, want)
	}
	if want := "r\x00Kx\\\x7f\n\x00"; string(d.Report) != want {
		t.Errorf("report is %q, want %q", d.Report, want)
	}
	if want := "a\r\nb\xffb\xff\r\n.\r\n"; string(d.Content()) != want {
		t.Errorf("content is %q, want %q", d.Content(), want)
	}
	if s := d.Servers["192.0.2.7:25"]; len(s.Conns) != 2 || len(s.Conns[0]) != 5 || s.Refuse {
		t.Errorf("script is %+v", s)
	}
	w := d.World()
	w.next["192.0.2.7:25"] = 1
	for addr, want := range map[string]bool{"192.0.2.7:25": true, "[2001:db8::7]:25": true, "192.0.2.8:25": false} {
		if got := w.Refuses(addr); got != want {
			t.Errorf("%s refuses: %t", addr, got)
		}
	}
}

func TestParseDialogueRefuses(t *testing.T) {
	for _, c := range []struct{ why, section, says string }{
		{"an unknown section", "-- reprot --\n", "no such section"},
		{"a path that leaves home", "-- ../x --\n", "no such section"},
		{"an absolute path", "-- /etc/passwd --\n", "no such section"},
		{"a section twice", "-- dns --\n-- dns --\n", "twice"},
		{"an unknown step", "-- 192.0.2.1:25 --\n220 hello\n", "no such step"},
		{"a bad pattern", "-- 192.0.2.1:25 --\n>~ (\n", "missing"},
		{"a bad Go string", "-- 192.0.2.1:25 --\n<+ abc\n", "not a Go string"},
		{"a bad escape", "-- report.tls --\n\\q\n", "means nothing"},
		{"a lone backslash", "-- report.tls --\n\\\n", "lone backslash"},
		{"half a byte", "-- report.tls --\n\\x1\n", "two digits"},
		{"an unknown mode", "-- modes --\nslow\n", "no such mode"},
		{"unknown material", "-- control/x --\n{passwd}\n", "no such material"},
		{"material without end", "-- control/x --\n{home\n", "without }"},
		{"TLS without certificate", "-- 192.0.2.1:25 --\n!tls max=1.1\n", "needs the name"},
		{"SCRAM without a password", "-- 192.0.2.1:25 --\n!scram user\n", "!scram user?"},
		{"a TLS version that is none", "-- 192.0.2.1:25 --\n!tls x max=2\n", "no TLS 2"},
		{"a duration that is none", "-- within --\nsoon\n", "invalid duration"},
	} {
		_, err := ParseDialogue([]byte(small + c.section))
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error is %v, want %q", c.why, err, c.says)
		}
	}
	if _, err := ParseDialogue([]byte("-- dns --\n")); err == nil {
		t.Error("a dialogue without argv and report is taken")
	}
}

func TestRuns(t *testing.T) {
	once := strings.Replace(small, "== next connection ==\n!refuse\n", "", 1)
	for _, c := range []struct{ modes, runs, not string }{
		{"", "whole bytes random clear tls engine process", ""},
		{"-- modes --\nwhole engine # because\n", "whole clear tls engine", "bytes random process"},
		{"-- modes --\nclear\n", "whole clear process", "tls"},
		{"-- 192.0.2.1:25 --\n< x\n== next connection ==\n!refuse\n", "engine", "process"},
		{"-- within --\n9s\n", "whole engine tls", "process"},
		{"-- 192.0.2.1:25 --\n!wait 1s\n", "engine", "process"},
	} {
		d, err := ParseDialogue([]byte(once + c.modes))
		if err != nil {
			t.Fatal(err)
		}
		for m := range strings.FieldsSeq(c.runs) {
			if !d.Runs(m) {
				t.Errorf("with %q it does not run in %s", c.modes, m)
			}
		}
		for m := range strings.FieldsSeq(c.not) {
			if d.Runs(m) {
				t.Errorf("with %q it runs in %s", c.modes, m)
			}
		}
	}
}

func TestWithTLS(t *testing.T) {
	text := strings.Replace(small, "== next connection ==\n!refuse\n", "", 1)
	text = strings.Replace(text, `Kx\\\x7f\n\0`, `K192.0.2.7 accepted message.\n\0`, 1)
	d, err := ParseDialogue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	tls := d.WithTLS()
	var verbs []string
	for _, st := range tls.Servers["192.0.2.7:25"].Conns[0] {
		verbs = append(verbs, st.verb+st.text)
	}
	want := []string{"<220 mx", ">EHLO mail.example", "<250-mx", "<250-PIPELINING", "<250 STARTTLS", ">STARTTLS", "<220 go ahead",
		"!tlsmx.example.net", ">EHLO mail.example", "<250-mx", "<250 PIPELINING", ">QUIT"}
	if !slices.Equal(verbs, want) {
		t.Errorf("script is %q, want %q", verbs, want)
	}
	if want := "r\x00K192.0.2.7 accepted message.\nTLS: TLSv1.3 TLS_AES_128_GCM_SHA256 verified=no\n\x00"; string(tls.Report) != want {
		t.Errorf("report is %q, want %q", tls.Report, want)
	}
	if d.Servers["192.0.2.7:25"].Conns[0][3].text != "250 PIPELINING" || d.Files["control/trustanchors"] != "" {
		t.Error("the dialogue itself has changed")
	}
	if tls.WithTLS() != nil {
		t.Error("a dialogue with TLS of its own gets it twice")
	}
}

func TestInstall(t *testing.T) {
	d, err := ParseDialogue([]byte(small + "-- control/trustanchors --\n{home}/ca.pem\n-- control/helohost/x --\n"))
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := d.Install(home); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(home + "/control/trustanchors"); err != nil || string(b) != home+"/ca.pem\n" {
		t.Errorf("trustanchors is %q, %v", b, err)
	}
	d.After["control/me"] = "other\n"
	if got := d.Leftovers(home); len(got) != 1 || !strings.Contains(got[0], "control/me is afterwards") {
		t.Errorf("leftovers are %q", got)
	}
	if st, err := os.Stat(home + "/control/helohost"); err != nil || !st.IsDir() {
		t.Errorf("helohost is no directory: %v", err)
	}
}

func TestUpdate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "d.txtar")
	os.WriteFile(file, []byte(small), 0o600)
	if err := Update(file, []byte("s\x00Znew\n\x00")); err != nil {
		t.Fatal(err)
	}
	got, _ := os.ReadFile(file)
	before, _, _ := strings.Cut(small, "-- report --")
	if want := before + "-- report --\ns\\0\nZnew\\n\\0\n"; string(got) != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
}

func FuzzEscape(f *testing.F) {
	f.Add([]byte("r\x00Kx\n\x00"))
	f.Add([]byte("\\\r\x7f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		back, err := unescape(Escape(b))
		if err != nil || !bytes.Equal(back, b) {
			t.Fatalf("%q became %q (%v)", b, back, err)
		}
	})
}

func FuzzParseDialogue(f *testing.F) {
	f.Add([]byte(small))
	f.Add([]byte("-- argv --\n-- report --\n-- [::1]:25 --\n<+ \"a\"*3\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(b, []byte("*")) {
			return // repeated strings may be as long as they like
		}
		if d, err := ParseDialogue(b); err == nil {
			d.WithTLS()
			d.Content()
		}
	})
}
