package peers

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/nettest"
)

// work is where the peers keep their files: a tmpfs of the namespace, open to the users they run as.
const work = "/run/peers"

// Main is the whole of a TestMain: it fetches the peers' packages, enters the namespace where they are in place,
// and runs m there. Where that is impossible it says so in one loud line; with CI=true that is a failure.
func Main(m *testing.M) {
	if err := Enter(); err != nil {
		os.Exit(nettest.Skip(err))
	}
	os.Exit(m.Run())
}

// Enter is Main's way in, for programs that are no tests: it returns nil in the process inside, an error outside.
func Enter() error {
	s, err := openStore()
	if err != nil {
		return err
	}
	if !nettest.Inside() {
		if err := s.fetch(); err != nil {
			return fmt.Errorf("fetch the peers' packages: %w", err)
		}
	}
	if err := (nettest.Space{Mounts: true}).Enter(); err != nil {
		return err
	}
	return s.mount()
}

// mount lays the unpacked packages over /usr and /etc, read-only, and a tmpfs over /run. /etc gets the users the
// daemons ask for by name, and a resolv.conf that names loopback. A second call finds the work done.
func (s store) mount() error {
	if _, err := os.Stat(work); err == nil {
		return nil
	}
	if err := unix.Mount("tmpfs", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755"); err != nil {
		return fmt.Errorf("mount /run: %w", err)
	}
	own := "/run/etc"
	if err := errors.Join(os.MkdirAll(own, 0o755), users(own), os.WriteFile(filepath.Join(own, "resolv.conf"), []byte("nameserver 127.0.0.1\n"), 0o644)); err != nil {
		return err
	}
	for _, o := range []struct{ target, lower string }{
		{"/usr", s.path("tree/usr") + ":/usr"},
		{"/etc", own + ":" + s.path("tree/etc") + ":/etc"},
	} {
		if err := unix.Mount("overlay", o.target, "overlay", 0, "lowerdir="+o.lower); err != nil {
			return fmt.Errorf("lay the packages over %s: %w", o.target, err)
		}
	}
	if err := lengthenLogQueue(); err != nil {
		return err
	}
	return os.Mkdir(work, 0o755)
}

// lengthenLogQueue lets datagrams on Unix-domain sockets queue up. Every program of Postfix logs to postlogd on such
// a socket, and a full queue blocks it, until postlogd reads. A fresh network namespace has room for ten: if postlogd
// dies while there are more, master too blocks, on the message that it died, and nobody starts another.
func lengthenLogQueue() error {
	err := os.WriteFile("/proc/sys/net/unix/max_dgram_qlen", []byte("100000"), 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // an ordinary user's namespace, where Postfix does not run: see ordinary
	}
	return err
}

// users writes passwd and group files into dir: the machine's own, the accounts the packages would have
// made, and those of our own servers, with numbers nobody has.
func users(dir string) error {
	accounts := []string{"postfix", "postdrop", "Debian-exim", "qmaild", "nofiles", "qmaill", "tlsd"}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	p, g := strings.TrimRight(string(passwd), "\n")+"\n", strings.TrimRight(string(group), "\n")+"\n"
	id := 950
	for _, a := range accounts {
		for strings.Contains(p+g, fmt.Sprintf(":%d:", id)) {
			id++
		}
		if !strings.Contains("\n"+g, "\n"+a+":") {
			g += a + ":x:" + strconv.Itoa(id) + ":\n"
		}
		if !strings.Contains("\n"+p, "\n"+a+":") {
			p += fmt.Sprintf("%s:x:%d:%d::/nonexistent:/bin/false\n", a, id, id)
		}
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "passwd"), []byte(p), 0o644), os.WriteFile(filepath.Join(dir, "group"), []byte(g), 0o644))
}

// directory makes a working directory for one peer, gone with the test. Unlike t.TempDir's, other users may pass.
func directory(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.MkdirTemp(work, name+"-")
	if err != nil {
		t.Fatalf("peers: %v (does TestMain call peers.Main?)", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// own makes a directory that belongs to a daemon's user.
func own(t testing.TB, dir string, uid int) {
	t.Helper()
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, uid, uid)); err != nil {
		t.Fatal(err)
	}
}

// account returns the number of a user, which is its group's too unless the machine made the user.
func account(t testing.TB, name string) int {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	id, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// write creates a file of a peer's configuration.
func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ordinary skips a test whose peer must change to users of its own, when only one user exists here: an ordinary
// user's namespace. With CI=true it fails.
func ordinary(t testing.TB, peer string) {
	t.Helper()
	m, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(m))
	if len(f) == 3 && f[2] == "1" {
		const why = "*** NOT RUN: %s changes users, and an ordinary user's namespace has only one: run as root ***"
		if os.Getenv("CI") == "true" {
			t.Fatalf(why, peer)
		}
		fmt.Fprintf(os.Stderr, why+"\n", peer)
		t.Skipf(why, peer)
	}
}
