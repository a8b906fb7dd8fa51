package routes

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/constmap"
)

func TestChanges(t *testing.T) {
	hourAgo := time.Now().Add(-time.Hour).Truncate(time.Second)
	dir := install(t, "a:r1\n")
	step := func(reason, relay string) {
		t.Helper()
		for range 2 {
			if r, _ := lookup(t, dir, "a"); r.Relay != relay {
				t.Errorf("%s: %q, want %q", reason, r.Relay, relay)
			}
		}
	}
	step("at first", "r1")
	replace(t, dir, "a:r2\n", hourAgo.Add(-time.Hour))
	step("older than before", "r2")
	replace(t, dir, "a:r22\n", hourAgo.Add(-time.Hour))
	step("another size alone", "r22")
	replace(t, dir, "a:r33\n", hourAgo.Add(-time.Hour+time.Nanosecond))
	step("a nanosecond alone", "r33")

	control, _, _ := paths(dir)
	if err := os.Rename(control, control+".old"); err != nil {
		t.Fatal(err)
	}
	replace(t, dir, "a:r44\n", hourAgo.Add(-time.Hour+time.Nanosecond))
	step("another inode alone", "r44")

	now := time.Now()
	replace(t, dir, "a:r55\n", now)
	step("just now", "r55")
	replace(t, dir, "a:r66\n", now)
	step("just now, and nothing tells", "r66")
	replace(t, dir, "a:r77\n", time.Now().Add(24*time.Hour))
	step("tomorrow (C83)", "r77")
}

// What was compiled of a young file is compiled again when it has settled.
func TestYoungIsCompiledAgain(t *testing.T) {
	dir := install(t, "a:r1\n")
	control, cdb, _ := paths(dir)
	src, err := openSource(control)
	if err != nil {
		t.Fatal(err)
	}
	defer src.close()
	src.stamp[stampSize-1] = young
	OpenSMTP(paths(dir)).compile("a:old\n", src)
	if r, _ := lookup(t, dir, "a"); r.Relay != "r1" {
		t.Errorf("%+v", r)
	}
	db, err := constmap.OpenCDB(cdb)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if db.Stamp[stampSize-1] != settled {
		t.Error("not compiled again")
	}
}

// TestProcesses has several processes look up while smtproutes changes: the
// route must always be there and never go back to an older one.
func TestProcesses(t *testing.T) {
	if dir := os.Getenv("ROUTES_TEST_DIR"); dir != "" {
		last := 0
		for last < 60 {
			r, ok := lookup(t, dir, "a.example")
			n, err := strconv.Atoi(strings.TrimPrefix(r.Relay, "relay"))
			if !ok || err != nil || n < last {
				t.Fatalf("after %d: %+v, %v", last, r, ok)
			}
			last = n
		}
		return
	}
	content := func(n int) string {
		return strings.Repeat("other.example:x\n", 3000) + "a.example:relay" + strconv.Itoa(n) + "\n"
	}
	dir := install(t, content(0))
	control, _, _ := paths(dir)
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcesses$")
			cmd.Env = append(os.Environ(), "ROUTES_TEST_DIR="+dir)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	for n := 1; n <= 60; n++ {
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, []byte(content(n)), 0o644); err != nil {
			t.Fatal(err)
		}
		// Every third is as old as one that needs no second compilation.
		if mtime := time.Now().Add(-time.Hour); n%3 == 0 {
			if err := os.Chtimes(next, mtime, mtime); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Rename(next, control); err != nil {
			t.Fatal(err)
		}
		for range 20 { // give the others something to do with it
			lookup(t, dir, "a.example")
		}
	}
	wg.Wait()
	if got := inRun(t, dir); got != "smtproutes.cdb smtproutes.lock" {
		t.Errorf("left behind: %s", got)
	}
}
