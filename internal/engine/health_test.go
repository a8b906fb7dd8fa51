package engine

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
	"postrider/remote"
)

// TestHealthy: as long as every delivery may still come to its end, an engine is
// well, and no longer.
func TestHealthy(t *testing.T) {
	d, err := smtptest.ParseDialogue([]byte("-- argv --\nexample.net me@example.com you@example.net\n-- control/me --\nmail.example\n" +
		"-- dns --\nexample.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.7\n-- report --\nZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\\n\\0\n"))
	if err != nil {
		t.Fatal(err)
	}
	home, orders, zone := furnish(t, d)
	synctest.Test(t, func(t *testing.T) {
		e := New(home, 1)
		e.stage(zone, nil)
		s, err := e.files.current()
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan bool)
		s.remote.Own = func(netip.Addr) bool {
			<-release
			return true // so nobody is dialled
		}
		most := longest(s.remote, &remote.Job{Message: &smtp.Message{Size: int64(len(d.Message))}})
		if most < 4*time.Hour || most > 6*time.Hour {
			t.Errorf("a delivery may take %v", most)
		}
		over := make(chan bool)
		go func() {
			defer close(over)
			ask(t, e, home, orders, nil)
		}()
		for at, want := range []bool{true, true, false, false} {
			time.Sleep([]time.Duration{0, most, 1, 100 * time.Hour}[at])
			synctest.Wait()
			if e.Healthy() != want {
				t.Errorf("%d: healthy: %v", at, !want)
			}
		}
		close(release)
		<-over
		if !e.Healthy() {
			t.Error("it has ended, and all is not well")
		}
		e.Close()
	})
}
