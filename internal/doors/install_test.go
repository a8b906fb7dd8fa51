package doors

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// makes runs make at the top of the checkout and gives what it printed.
func makes(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command("make", append([]string{"-C", "../.."}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("make %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestInstall puts Postrider over a qmail that is there, twice, and takes it
// away again: what stood there comes back, and only that.
func TestInstall(t *testing.T) {
	dest := t.TempDir()
	home := filepath.Join(dest, "var/qmail")
	for _, d := range []string{"bin", "man/man8"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	old := filepath.Join(home, "bin/qmail-remote")
	if err := os.WriteFile(old, []byte("stock"), 0o711); err != nil {
		t.Fatal(err)
	}
	out := makes(t, "install", "DESTDIR="+dest)
	for _, say := range []string{"kept " + old + " as " + old + ".orig", "made " + home + "/run/qmail-remote"} {
		if !strings.Contains(out, say) {
			t.Errorf("install does not say %q:\n%s", say, out)
		}
	}
	for _, p := range []string{"qmail-remote", "qmail-remote-io", "qmail-smtpc", "ucspi-tlsc", "qmail-tcpto", "qmail-tcpok"} {
		if s, err := os.Stat(filepath.Join(home, "bin", p)); err != nil || s.Mode().Perm() != 0o755 {
			t.Errorf("%s: %v, %v", p, s, err)
		}
	}
	for _, p := range []string{"qmail-rspawn", "qmail-rstat", "qmail-smtpd"} { // only when asked for
		for _, path := range []string{"bin/" + p, "man/man8/" + p + ".8"} {
			if _, err := os.Stat(filepath.Join(home, path)); !os.IsNotExist(err) {
				t.Errorf("%s is installed (%v)", path, err)
			}
		}
	}
	for _, p := range []string{"man8/qmail-remote.8", "man8/qmail-remote-io.8", "man8/ucspi-tlsc.8", "man8/qmail-tcpto.8", "man5/smtproutes.5", "man5/tlsdestinations.5"} {
		if _, err := os.Stat(filepath.Join(home, "man", p)); err != nil {
			t.Error(err)
		}
	}
	// What runs from there reports, with its home built in or given.
	cmd := exec.Command(filepath.Join(home, "bin/qmail-remote"), "h")
	if got, err := cmd.Output(); err != nil || string(got) != "DI (qmail-remote) was invoked improperly. (#5.3.5)\n\x00" {
		t.Errorf("installed qmail-remote: %q, %v", got, err)
	}

	makes(t, "install", "DESTDIR="+dest) // an upgrade
	if got := read(t, old+".orig"); got != "stock" {
		t.Errorf("after a second installation the original is %q", got)
	}
	makes(t, "uninstall", "DESTDIR="+dest)
	if got := read(t, old); got != "stock" {
		t.Errorf("the original did not come back: %q", got)
	}
	var left []string
	filepath.WalkDir(home, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			left = append(left, strings.TrimPrefix(path, home+"/"))
		}
		return err
	})
	if len(left) != 1 || left[0] != "bin/qmail-remote" {
		t.Errorf("left behind: %v", left)
	}
	if _, err := os.Stat(filepath.Join(home, "run")); !os.IsNotExist(err) {
		t.Errorf("run is left behind (%v)", err)
	}
}
