package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A Postfix whose log daemon stands still must go on: a delivery would wait for it as long as control/timeoutremote.
func TestPostfixDoesNotWaitForItsLog(t *testing.T) {
	const mails = 10 // at six lines and more each
	p := Postfix(t, ServerConfig{Listen: where, Cert: NewAuthority(t).Issue(t, "mx.example.net")})
	p.until(t, "log", func() bool { return p.Log() != "" })
	freeze(t, "postlogd")
	taken := make(chan error, 1) // one for all
	go func() {
		for i := range mails {
			if err := submit(t, p.Addr, "me@example.org", fmt.Sprintf("u%d@example.net", i), sample); err != nil {
				taken <- err
				return
			}
		}
		taken <- nil
	}()
	select {
	case err := <-taken:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatalf("it does not take %d messages\n%s", mails, stuck())
	}
	if got := p.Wait(t, mails); len(got) != mails {
		t.Errorf("%d copies, want %d", len(got), mails)
	}
}

// freeze stops every process of this name in the namespace, until its group is killed.
func freeze(t *testing.T, name string) {
	t.Helper()
	comms, _ := filepath.Glob("/proc/[0-9]*/comm") // the pattern is well formed
	frozen := 0
	for _, comm := range comms {
		var pid int
		if text, _ := os.ReadFile(comm); string(text) != name+"\n" {
			continue
		}
		if _, err := fmt.Sscanf(comm, "/proc/%d/", &pid); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		frozen++
	}
	if frozen == 0 {
		t.Fatalf("no %s is running", name)
	}
}
