package engine

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/fair"
	"postrider/internal/smtp"
	"postrider/internal/smtptest"
	"postrider/internal/spawn"
)

// parlour is an engine in simulated time and the one server in its world.
type parlour struct {
	t      *testing.T
	home   string
	engine *Engine
	server *lone
	begun  time.Time
	all    sync.WaitGroup

	mu   sync.Mutex
	gone []time.Duration // when the server's sessions ended; under mu
}

// inParlour runs a test in a bubble.
func inParlour(t *testing.T, run func(p *parlour)) {
	d, err := smtptest.ParseDialogue([]byte("-- argv --\nexample.net me@example.com you@example.net\n-- control/me --\nmail.example\n-- control/concurrencyremote --\n255\n" +
		"-- dns --\nexample.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.7\n-- report --\nK\\n\\0\n"))
	if err != nil {
		t.Fatal(err)
	}
	home, _, zone := furnish(t, d)
	synctest.Test(t, func(t *testing.T) {
		p := &parlour{t: t, home: home, engine: New(home, 255), server: &lone{}, begun: time.Now()}
		p.engine.stage(zone, func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
			client, server := smtptest.Pipe(64 << 10)
			p.server.mu.Lock()
			p.server.conns++
			p.server.mu.Unlock()
			p.all.Go(func() {
				p.server.serve(server)
				p.mu.Lock()
				p.gone = append(p.gone, time.Since(p.begun))
				p.mu.Unlock()
			})
			return client, nil
		})
		run(p)
		p.engine.Close()
		p.all.Wait()
	})
}

// at waits until so long after the beginning, and for all that happens then.
func (p *parlour) at(since time.Duration) {
	time.Sleep(since - time.Since(p.begun))
	synctest.Wait()
}

// deliver begins a delivery of message 0/1.
func (p *parlour) deliver(rcpt string) {
	f, err := os.Open(filepath.Join(p.home, "queue/mess/0/1"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.all.Go(func() {
		defer f.Close()
		line := p.engine.Deliver(context.Background(), spawn.Delivery{MessID: "0/1", Sender: "me@example.com", Recipient: rcpt, Host: "example.net", Message: f})
		if !strings.HasPrefix(string(line), "K192.0.2.7 accepted message.\n") {
			p.t.Errorf("%s: %q", rcpt, line)
		}
	})
	synctest.Wait()
}

func (p *parlour) wants(what string, sessions, taken int, gone ...time.Duration) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if s, n := p.server.sessions(), p.server.taken(); s != sessions || n != taken || len(gone) != len(p.gone) || len(gone) > 0 && gone[0] != p.gone[0] {
		p.t.Errorf("%s: %d sessions, %d transactions, ended at %v; want %d, %d, %v", what, s, n, p.gone, sessions, taken, gone)
	}
}

// TestIdle: a conversation waits for idleTime, counted from its last message,
// and then says QUIT.
func TestIdle(t *testing.T) {
	inParlour(t, func(p *parlour) {
		p.deliver("a@example.net")
		p.at(linger)
		p.wants("the first", 1, 1)
		p.at(idleTime + linger - 1)
		p.deliver("b@example.net")
		p.at(idleTime + 2*linger)
		p.wants("just in time", 1, 2)
		p.at(2*idleTime + 2*linger - 2)
		p.wants("still there", 1, 2)
		p.at(2*idleTime + 2*linger - 1)
		p.wants("gone", 1, 2, 2*idleTime+2*linger-1)
		p.deliver("c@example.net")
		p.at(2*idleTime + 3*linger)
		p.wants("another", 2, 3, 2*idleTime+2*linger-1)
	})
}

// TestLinger: recipients are gathered until none has come for linger, also when a
// conversation waits that could begin at once.
func TestLinger(t *testing.T) {
	inParlour(t, func(p *parlour) {
		p.deliver("a@example.net")
		p.at(time.Second)
		p.wants("a conversation waits", 1, 1)
		p.deliver("b@example.net")
		p.at(time.Second + linger - 1)
		p.deliver("c@example.net")
		p.at(time.Second + 2*linger - 2)
		p.wants("both linger", 1, 1)
		p.at(time.Second + 2*linger - 1)
		p.wants("both are out", 1, 2)
		p.deliver("d@example.net")
		p.at(time.Second + 3*linger - 1)
		p.wants("who comes too late goes alone", 1, 3)
		for i := range maxGroup {
			p.deliver(fmt.Sprintf("m%d@example.net", i))
		}
		p.wants("a full group waits for nobody", 1, 4)
	})
}

// TestRow: nobody is waited for when the next order is for another message, or
// there are none.
func TestRow(t *testing.T) {
	inParlour(t, func(p *parlour) {
		p.deliver("a@example.net")
		p.at(time.Second)
		p.wants("a conversation waits", 1, 1)
		in, commands := io.Pipe()
		p.all.Go(func() { p.serve(in) })
		for i, rcpt := range []string{"b@example.net", "c@example.net", "not an address"} {
			p.order(commands, i, "0/1", rcpt)
		}
		p.wants("more may come", 1, 1)
		p.order(commands, 3, "0/2", "nor this")
		p.wants("they are out together", 1, 2)
		p.order(commands, 4, "0/1", "d@example.net")
		p.wants("it may have company", 1, 2)
		commands.Close()
		synctest.Wait()
		p.wants("it has none", 1, 3)
		if now := time.Since(p.begun); now != time.Second {
			t.Errorf("it took %v", now-time.Second)
		}
	})
}

// serve runs orders.
func (p *parlour) serve(in io.Reader) {
	mess, err := os.OpenRoot(p.home + "/queue/mess")
	if err != nil {
		p.t.Fatal(err)
	}
	defer mess.Close()
	spawn.Serve(context.Background(), in, io.Discard, spawn.Config{Limit: 255, Queue: spawn.Queue{Mess: mess, Owner: uint32(os.Getuid())}}, p.engine)
}

// order gives an order to a serve.
func (p *parlour) order(to io.Writer, slot int, messID, rcpt string) {
	c := spawn.Command{Slot: byte(slot), MessID: messID, Sender: "me@example.com", Recipient: rcpt}
	to.Write(c.AppendTo(nil))
	synctest.Wait()
}

// TestLingerings: a group that others keep joining goes all the same.
func TestLingerings(t *testing.T) {
	inParlour(t, func(p *parlour) {
		p.deliver("a@example.net")
		p.at(time.Second)
		for i := range 2 * lingerings {
			p.at(time.Second + time.Duration(i)*linger/2)
			p.deliver(fmt.Sprintf("m%d@example.net", i))
		}
		p.wants("all linger", 1, 1)
		p.at(time.Second + lingerings*linger)
		p.wants("all are out", 1, 2)
	})
}

// TestRipe: whether a group is ripe can be asked while another joins one. The gate
// asks with its lock held, and who joins takes that lock; each waiting for the
// other, they stood for ever.
func TestRipe(t *testing.T) {
	gs := newGroups(fair.New(fair.Limits{Slots: 8}))
	g, _ := gs.join("key", smtp.Envelope{Rcpts: []string{"a@example.net"}}, nil)
	gs.mu.Lock()
	defer gs.mu.Unlock()
	told := make(chan time.Duration, 1)
	go func() { told <- g.unripe() }()
	select {
	case <-told:
	case <-time.After(time.Minute):
		t.Fatal("nobody tells while the groups are locked")
	}
}
