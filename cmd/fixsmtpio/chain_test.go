package main

import (
	"os"
	"path/filepath"
	"testing"

	"postrider/internal/authtest"
)

// TestBelowAuthup is the chain of port 587: what the client hears after AUTH, and
// the exit code that is qmail-authup's in the end.
func TestBelowAuthup(t *testing.T) {
	programs, err := authtest.Install()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(programs) })
	passwords := filepath.Join(t.TempDir(), "passwords")
	if err := os.WriteFile(passwords, []byte("joe:secret::/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for reason, c := range map[string]struct {
		rules  string
		script []string
		say    string
		hears  []string
		code   int
	}{
		"a session": {example(t), nil, "EHLO x|AUTH PLAIN AGpvZQBzZWNyZXQ=|RSET|QUIT",
			[]string{"235 ok, go ahead (#2.0.0)", "250-me.example", "250-PIPELINING", "250 8BITMIME", "502 unimplemented (#5.5.1)", "250 ok", "221 me.example", ""}, 0},
		"the client leaves":      {example(t), nil, "", []string{"235 ok, go ahead (#2.0.0)", ""}, 0},
		"refused for now":        {example(t), []string{"GREETING=421 nope"}, "", []string{"421 nope", ""}, 14},
		"refused for good":       {example(t), []string{"GREETING=554 nope"}, "", []string{"554 nope", ""}, 15},
		"the server is tired":    {example(t), []string{"TIMEOUT=451 timeout (#4.4.2)|exit 1"}, "", []string{"235 ok, go ahead (#2.0.0)", "451 authup timeout (#4.4.2)", ""}, 1},
		"the server crashes":     {example(t), []string{"DATA=354 go", ".=signal 9"}, "DATA|hi|.|AUTH PLAIN AGpvZQBzZWNyZXQ=", []string{"235 ok, go ahead (#2.0.0)", "354 go", "421 internal error (#4.3.0)", ""}, 14},
		"the rules are nonsense": {"nonsense", nil, "", []string{"421 authup unable to read controls (#4.3.0)", ""}, 1},
	} {
		w := world{control: map[string]string{"fixsmtpio": c.rules, "smtpcapabilities": "PIPELINING\n8BITMIME\n"},
			env: []string{"PATH=" + programs + ":" + bin + ":/bin:/usr/bin", authtest.PasswordFile + "=" + passwords}}
		r := launch(t, w, w.home(t), filepath.Join(bin, "qmail-authup"), append([]string{"smtp", "checkpassword", "fixsmtpio", self, "kid"}, c.script...)...)
		r.Hears("220 me.example ESMTP")
		r.Say("AUTH PLAIN AGpvZQBzZWNyZXQ=")
		r.Hears(c.hears[0])
		if c.say != "" {
			r.Say(c.say)
		}
		if reason == "the client leaves" {
			r.client.CloseWrite()
		}
		r.Hears(c.hears[1:]...)
		if code, log := r.over(); code != c.code {
			t.Errorf("%s: exit %d, log %q", reason, code, log)
		}
	}
}
