package routes

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"postrider/internal/constmap"
)

// The cdb is what is read when it holds, and the layout is what others expect.
func TestCDBIsUsed(t *testing.T) {
	dir := install(t, "Host.example:relay:26|me|!pw\n:[192.0.2.1]\n")
	control, cdb, _ := paths(dir)
	lookup(t, dir, "a")
	db, err := constmap.OpenCDB(cdb)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for key, want := range map[string]string{
		"host.example\x00": "\x00\x1arelay\x00me\x00!pw\x00",
		"\x00":             "\x00\x19192.0.2.1\x00",
	} {
		if v, ok, err := db.Get([]byte(key)); string(v) != want || !ok || err != nil {
			t.Errorf("%q: %q, %v, %v", key, v, ok, err)
		}
	}
	src, err := openSource(control)
	if err != nil {
		t.Fatal(err)
	}
	defer src.close()
	content, err := build("a:from.cdb\n", src.stamp)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cdb, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if r, _ := lookup(t, dir, "a"); r.Relay != "from.cdb" {
		t.Errorf("not from the cdb: %+v", r)
	}
}

const three = "a:r1\nb:r2|u|p\n:d\n"

// wantThree looks them up, and again what was compiled meanwhile.
func wantThree(t *testing.T, reason, dir string) {
	t.Helper()
	for range 2 {
		for host, relay := range map[string]string{"a": "r1", "b": "r2", "c": "d"} {
			if r, ok := lookup(t, dir, host); r.Relay != relay || !ok {
				t.Errorf("%s, %s: %+v", reason, host, r)
			}
		}
	}
}

// A cdb or a directory that is of no use costs time and nothing else.
func TestUselessCDB(t *testing.T) {
	t.Run("no run directory", func(t *testing.T) {
		dir := install(t, three)
		if err := os.Remove(filepath.Join(dir, "run")); err != nil {
			t.Fatal(err)
		}
		wantThree(t, t.Name(), dir)
	})
	t.Run("run is a file", func(t *testing.T) {
		dir := install(t, three)
		if err := os.Remove(filepath.Join(dir, "run")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "run"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		wantThree(t, t.Name(), dir)
	})
	t.Run("the cdb is a directory", func(t *testing.T) {
		dir := install(t, three)
		_, cdb, _ := paths(dir)
		if err := os.Mkdir(cdb, 0o755); err != nil {
			t.Fatal(err)
		}
		wantThree(t, t.Name(), dir)
		if got := inRun(t, dir); got != "smtproutes.cdb smtproutes.lock" {
			t.Errorf("left behind: %s", got)
		}
	})
	t.Run("somebody holds the lock", func(t *testing.T) {
		dir := install(t, three)
		_, _, lock := paths(dir)
		f, err := os.Create(lock)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		wantThree(t, t.Name(), dir)
		if got := inRun(t, dir); got != "smtproutes.lock" {
			t.Errorf("compiled without the lock: %s", got)
		}
	})
	t.Run("a killed compiler's remains", func(t *testing.T) {
		dir := install(t, three)
		_, cdb, _ := paths(dir)
		if err := os.WriteFile(cdb+".tmp", []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		wantThree(t, t.Name(), dir)
		if got := inRun(t, dir); got != "smtproutes.cdb smtproutes.lock" {
			t.Errorf("in run: %s", got)
		}
	})
	t.Run("a host that a cdb cannot have", func(t *testing.T) {
		dir := install(t, three+"vtew9nea.example:zero\n") // with its NUL, hash 0
		wantThree(t, t.Name(), dir)
		if r, _ := lookup(t, dir, "vtew9nea.example"); r.Relay != "zero" {
			t.Errorf("%+v", r)
		}
	})
}

// However the cdb is damaged, the answers stay right, and it is made anew.
func TestDamagedCDB(t *testing.T) {
	dir := install(t, three)
	_, cdb, _ := paths(dir)
	lookup(t, dir, "a")
	good, err := os.ReadFile(cdb)
	if err != nil {
		t.Fatal(err)
	}
	try := func(reason string, content []byte) {
		t.Helper()
		if err := os.WriteFile(cdb, content, 0o600); err != nil {
			t.Fatal(err)
		}
		wantThree(t, reason, dir)
		if now, err := os.ReadFile(cdb); err != nil || !bytes.Equal(now, good) {
			t.Errorf("%s: not made anew, %v", reason, err)
		}
	}
	try("empty", nil)
	try("garbage", bytes.Repeat([]byte("garbage "), 1000))
	try("zeros", make([]byte, len(good)))
	try("longer", append(bytes.Clone(good), 0))
	for n := 1; n < len(good); n += 97 {
		try("cut at "+strconv.Itoa(n), good[:n])
		flipped := bytes.Clone(good)
		flipped[n] ^= 1 << (n % 8)
		try("flipped at "+strconv.Itoa(n), flipped)
	}
}

// The compiled file is for all to read only if its source is.
func TestCDBMode(t *testing.T) {
	for _, c := range []struct{ source, want os.FileMode }{{0o644, 0o644}, {0o640, 0o600}, {0o600, 0o600}} {
		dir := install(t, "a:relay|me|secret\n")
		control, cdb, _ := paths(dir)
		if err := os.Chmod(control, c.source); err != nil {
			t.Fatal(err)
		}
		lookup(t, dir, "a")
		if st, err := os.Stat(cdb); err != nil || st.Mode() != c.want {
			t.Errorf("of %o: %v, %v", c.source, st.Mode(), err)
		}
	}
}
