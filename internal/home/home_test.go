package home

import "testing"

func TestDir(t *testing.T) {
	for _, c := range []struct{ env, want string }{
		{"", Default},
		{"/srv/qmail", "/srv/qmail"},
	} {
		t.Setenv("QMAILHOME", c.env)
		if got := Dir(); got != c.want {
			t.Errorf("QMAILHOME=%q: %q, want %q", c.env, got, c.want)
		}
	}
}
