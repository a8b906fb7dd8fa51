package fixsmtpio

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/control"
)

func TestParseRule(t *testing.T) {
	for line, want := range map[string]Rule{
		":word:NOOP :*::250 indeed":         {Event: "word", Prepend: "NOOP ", Glob: "*", Exit: -1, Response: "250 indeed"},
		"env:event:p:g:5:a: b":              {Env: "env", Event: "event", Prepend: "p", Glob: "g", Exit: 5, Response: "a: b"},
		":e::g:0:":                          {Event: "e", Glob: "g", Exit: 0},
		":e::g:255:::":                      {Event: "e", Glob: "g", Exit: 255, Response: "::"},
		":e::g:12abc:":                      {Event: "e", Glob: "g", Exit: 12},
		":EHLO::g::x":                       {Event: "ehlo", Glob: "g", Exit: -1, Response: "x"},
		":x::*::&fixsmtpio_noop":            {Event: "x", Glob: "*", Exit: -1, Response: "&fixsmtpio_noop", action: noop},
		":greeting::*::&fixsmtpio_fixup":    {Event: "greeting", Glob: "*", Exit: -1, Response: "&fixsmtpio_fixup", action: fixup},
		":Help::*::&fixsmtpio_fixup":        {Event: "help", Glob: "*", Exit: -1, Response: "&fixsmtpio_fixup", action: fixup},
		"AUTHUP_USER:clienteof::*:0:":       {Env: "AUTHUP_USER", Event: "clienteof", Glob: "*"},
		":rcpt::4*::&fixsmtpi is no secret": {Event: "rcpt", Glob: "4*", Exit: -1, Response: "&fixsmtpi is no secret"},
	} {
		if got, err := parseRule(line); got != want || err != nil {
			t.Errorf("%q: %+v, %v", line, got, err)
		}
	}
	for want, lines := range map[error][]string{
		errFields:    {"", ":", "::::", ":a:b:c:d", "no colons at all"},
		errEvent:     {"e::p:g:5:r", ":::g::"},
		errGlob:      {"e:v:p::5:r", ":v::::"},
		errExitCode:  {":v::g:x:r", ":v::g:500:r", ":v::g:256:", ":v::g:-1:", ":v::g: 5:", ":v::g:99999999999999999999:", ":v::g:+5:"},
		errClientEOF: {":clienteof::*::250 bye", ":clienteof::*:0:&fixsmtpio_noop", ":ClientEOF::*::x"},
		errInternal:  {":mail::*::&fixsmtpio_fixup", ":x::*::&fixsmtpio", ":ehlo::*::&fixsmtpio_fixups", ":ehlo::*::&fixsmtpio_noop ", ":timeout::*::&fixsmtpio_fixup"},
	} {
		for _, line := range lines {
			_, err := ParseRules([]string{":e::g::", line})
			var wrong *RuleError
			if !errors.Is(err, want) || !errors.As(err, &wrong) || wrong.Rule != line {
				t.Errorf("%q: %v, not %v", line, err, want)
			}
		}
	}
}

// home makes a qmail home with these control files.
func homeOf(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "control"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "control", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoad(t *testing.T) {
	for reason, c := range map[string]struct {
		files    map[string]string
		greeting string
		patience time.Duration
		rules    int
	}{
		"me alone":       {map[string]string{"me": "me.example \nx\n"}, "me.example", 1200 * time.Second, 0},
		"a greeting":     {map[string]string{"me": "me\n", "smtpgreeting": "mail -- go away"}, "mail -- go away", 1200 * time.Second, 0},
		"an empty one":   {map[string]string{"me": "me\n", "smtpgreeting": ""}, "", 1200 * time.Second, 0},
		"a time":         {map[string]string{"me": "me\n", "timeoutsmtpd": "30\n"}, "me", 30 * time.Second, 0},
		"no time at all": {map[string]string{"me": "me\n", "timeoutsmtpd": "0\n"}, "me", time.Second, 0},
		"rules":          {map[string]string{"me": "me\n", "fixsmtpio": "# a\n\n:a::*:: \t\n:b::*::x"}, "me", 1200 * time.Second, 2},
	} {
		got, err := Load(homeOf(t, c.files))
		if err != nil || got.Greeting != c.greeting || got.Patience != c.patience || len(got.Rules) != c.rules {
			t.Errorf("%s: %+v, %v", reason, got, err)
		}
	}
	var absent *control.Error
	if _, err := Load(homeOf(t, nil)); !errors.As(err, &absent) || absent.File != "control/me" {
		t.Errorf("no name: %v", err)
	}
	if _, err := Load(homeOf(t, map[string]string{"me": "x", "fixsmtpio": "::"})); !errors.Is(err, errFields) {
		t.Errorf("bad rules: %v", err)
	}
	dir := homeOf(t, map[string]string{"me": "x"})
	if err := os.Mkdir(filepath.Join(dir, "control/fixsmtpio"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); !errors.As(err, &absent) || absent.File != "control/fixsmtpio" {
		t.Errorf("unreadable rules: %v", err)
	}
}

// TestExample reads the rules that we tell people to begin with.
func TestExample(t *testing.T) {
	if rules := exampleRules(t); len(rules) != 15 {
		t.Errorf("%d rules", len(rules))
	}
}

func exampleRules(t *testing.T) []Rule {
	t.Helper()
	text, err := os.ReadFile("../../examples/control/fixsmtpio")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(homeOf(t, map[string]string{"me": "me.example", "fixsmtpio": string(text)}))
	if err != nil {
		t.Fatal(err)
	}
	return c.Rules
}

// FuzzParseRules: what is taken means what it says, and can be written again.
func FuzzParseRules(f *testing.F) {
	for _, line := range []string{":word:NOOP :*::250 indeed", "env:event:p:g:5:a: b", "::::", ":ehlo::250?AUTH*:16:&fixsmtpio_fixup"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRule(line)
		if err != nil {
			if r != (Rule{}) {
				t.Fatalf("%q: %+v, and %v", line, r, err)
			}
			return
		}
		fields := strings.SplitN(line, ":", 6)
		if r.Env != fields[0] || !strings.EqualFold(r.Event, fields[1]) || r.Prepend != fields[2] || r.Glob != fields[3] || r.Response != fields[5] ||
			r.Event == "" || r.Glob == "" || r.Exit < -1 || r.Exit > 255 || (r.Exit == -1) != (fields[4] == "") {
			t.Fatalf("%q: %+v", line, r)
		}
		match(r.Glob, r.Response+"\r\n") // whatever it is, it ends
	})
}
