package tcpto

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A process that sits on the lock does not stop us for ever.
func TestLockedForEver(t *testing.T) {
	r := newRig(t, full4(rec4("192.0.2.1", 2, start)))
	f, err := os.Open(r.four)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if r.table().Blocked(a) {
			t.Error("read without the lock")
		}
		if waited := time.Since(began); waited != patience {
			t.Errorf("waited %v", waited)
		}
	})
}

// TestProcesses lets several processes record at once: each has an address of
// its own, and none may be lost.
func TestProcesses(t *testing.T) {
	if dir := os.Getenv("TCPTO_TEST_DIR"); dir != "" {
		for i := range 8 {
			table := Open(filepath.Join(dir, "tcpto"), filepath.Join(dir, "tcpto6"), time.Now)
			n, _ := strconv.Atoi(os.Getenv("TCPTO_TEST_N"))
			table.TimedOut(netip.AddrFrom4([4]byte{192, 0, byte(n), byte(i)}))
			table.TimedOut(netip.AddrFrom16([16]byte{0x20, 1, byte(n), byte(i)}))
		}
		return
	}
	r := newRig(t, full4())
	var wg sync.WaitGroup
	for n := range 6 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestProcesses$")
			cmd.Env = append(os.Environ(), "TCPTO_TEST_DIR="+filepath.Dir(r.four), "TCPTO_TEST_N="+strconv.Itoa(n))
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	four, err4 := Read4(r.four)
	six, err6 := Read6(r.six)
	if len(four) != 48 || len(six) != 48 || err4 != nil || err6 != nil {
		t.Errorf("%d and %d of 48 addresses, %v, %v", len(four), len(six), err4, err6)
	}
	for _, e := range append(four, six...) {
		if e.Count != 1 {
			t.Errorf("%v has count %d", e.Addr, e.Count)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	r := newRig(t, full4(rec4("192.0.2.1", 2, start)))
	table := r.table()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if !table.Blocked(a) {
				t.Error("not blocked")
			}
			table.TimedOut(b)
			table.Answered(a)
			table.Blocked(x)
		})
	}
	wg.Wait()
}
