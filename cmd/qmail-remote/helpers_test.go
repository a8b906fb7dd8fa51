package main

import (
	"os"
	"testing"
)

func TestHelpers(t *testing.T) {
	for _, tt := range []struct {
		reason, path string
		err          error
		argv0, want  string
	}{
		{"beside the program", "/any/path/qmail-remote", nil, "qmail-remote", "/any/path"},
		{"no /proc, started by hand", "", os.ErrNotExist, "/any/path/qmail-remote", "/any/path"},
		{"no /proc, in the current directory", "", os.ErrNotExist, "./qmail-remote", "."},
		{"no /proc, under qmail-rspawn", "", os.ErrNotExist, "qmail-remote", "/var/qmail/bin"},
	} {
		if got := helpers(tt.path, tt.err, tt.argv0, "/var/qmail"); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.reason, got, tt.want)
		}
	}
}
