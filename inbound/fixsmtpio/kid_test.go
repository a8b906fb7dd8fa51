package fixsmtpio

import (
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/inbound"
)

func kidOf(t *testing.T, script string) *kid {
	t.Helper()
	k, err := start([]string{"sh", "-c", script}, inbound.Env{"PATH=/bin:/usr/bin"})
	if err != nil {
		t.Fatal(err)
	}
	if !readable(k.out, time.Minute) {
		t.Fatal("the server says nothing")
	}
	return k
}

// gone: it has been waited for.
func gone(pid int) bool { return syscall.Kill(pid, 0) == syscall.ESRCH }

// TestStop: who does not want to end has to.
func TestStop(t *testing.T) {
	for reason, c := range map[string]struct {
		script string
		mercy  time.Duration
	}{
		"at once":              {`echo; exec cat >/dev/null`, time.Minute},
		"deaf, but obedient":   {`echo; exec sleep 1000`, time.Minute},
		"deaf and disobedient": {`trap '' TERM; echo; exec sleep 1000`, 100 * time.Millisecond},
		"dead":                 {`echo`, time.Minute},
	} {
		k := kidOf(t, c.script)
		k.stop(c.mercy)
		if !gone(k.pid) || k.in != closed || k.out != closed {
			t.Errorf("%s: it lives", reason)
		}
	}
}

// TestEnd: a server that is hung up on can still say what it wants, within
// bounds.
func TestEnd(t *testing.T) {
	for reason, c := range map[string]struct {
		script   string
		code     int
		signaled bool
	}{
		"has last words":  {`echo; cat; head -c 500000 /dev/zero; exit 3`, 3, false},
		"does not end":    {`echo; exec cat /dev/zero`, -1, true},
		"closes and ends": {`echo; exec >&-; exit 4`, 4, false},
	} {
		k := kidOf(t, c.script)
		ws, err := k.end()
		if err != nil || ws.ExitStatus() != c.code || ws.Signaled() != c.signaled || !gone(k.pid) {
			t.Errorf("%s: %v, %v", reason, ws, err)
		}
	}
}

func TestStart(t *testing.T) {
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		if k, err := start([]string{"/nonexistent/prog"}, nil); k != nil || err != syscall.ENOENT {
			t.Errorf("no program: %v", err)
		}
	}
	after, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	if len(after) > len(before)+1 { // the poller
		t.Errorf("%d descriptors, before %d", len(after), len(before))
	}
	k := kidOf(t, `echo; exec sleep 1000 <&-`)
	big := []byte(strings.Repeat("x", 1<<20))
	for err = nil; err == nil; { // the pipe is full, and then its other end is closed
		_, err = k.write(big)
	}
	if err != syscall.EPIPE {
		t.Errorf("nobody reads: %v", err)
	}
	k.stop(time.Minute)
}
