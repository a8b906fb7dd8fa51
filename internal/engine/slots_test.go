package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtptest"
	"postrider/internal/spawn"
)

// TestSlotsOfOneMessage: a message with more recipients at a host that hangs than
// there are slots does not keep all of them: qmail-send, which orders one delivery
// for each slot that is free, comes to the mail for others long before the host's
// time is over.
func TestSlotsOfOneMessage(t *testing.T) {
	const slots, stuck = 40, 200
	d, err := smtptest.ParseDialogue([]byte("-- argv --\nexample.net me@example.com you@example.net\n-- control/me --\nmail.example\n" +
		"-- control/concurrencyremote --\n40\n-- dns --\nexample.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.7\n" +
		"hangs.example. A 192.0.2.8\n-- report --\nK\\n\\0\n"))
	if err != nil {
		t.Fatal(err)
	}
	home, _, zone := furnish(t, d)
	synctest.Test(t, func(t *testing.T) {
		e := New(home, slots)
		var all sync.WaitGroup
		good := &lone{}
		e.stage(zone, func(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
			client, server := smtptest.Pipe(64 << 10)
			all.Go(func() {
				if to.Addr() == netip.MustParseAddr("192.0.2.7") {
					good.serve(server)
				} else {
					io.Copy(io.Discard, server)
					server.Close()
				}
			})
			return client, nil
		})
		free := make(chan struct{}, slots)
		began := time.Now()
		order := func(rcpt, host string) {
			free <- struct{}{}
			all.Go(func() {
				m, err := os.Open(home + "/queue/mess/0/1")
				if err != nil {
					t.Error(err)
					return
				}
				defer m.Close()
				line := e.Deliver(context.Background(), spawn.Delivery{MessID: "0/1", Sender: "me@example.com", Recipient: rcpt, Host: host, Message: m})
				if (line[0] == 'K') != (host == "example.net") {
					t.Errorf("%s: %s", rcpt, line)
				}
				<-free
			})
			synctest.Wait()
		}
		for i := range stuck {
			order(fmt.Sprintf("r%d@hangs.example", i), "hangs.example")
		}
		order("r@example.net", "example.net")
		time.Sleep(time.Second)
		if took := time.Since(began); took > 5*time.Minute || good.taken() != 1 {
			t.Errorf("after %v, %d were taken", took, good.taken())
		}
		if s := e.gate.State(); s.Held > slots {
			t.Errorf("%d slots held", s.Held)
		}
		time.Sleep(time.Hour)
		e.Close()
		all.Wait()
	})
}
