package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/sink"
	"postrider/internal/smtptest"
	"postrider/internal/spawn"
	"postrider/remote"
	"postrider/resolver"
)

// The pace of deliveries in simulated time, where computing takes none: what is
// beyond the round trips of the protocol is the engine's own waiting.
const (
	roundTrip = 40 * time.Millisecond
	lookUp    = 20 * time.Millisecond // each answer of DNS
	paceSlots = 255
)

// overseas is an engine with all its slots, and a server behind a long line.
type overseas struct {
	t      *testing.T
	home   string
	engine *Engine
	shore  chan net.Conn // connections on their way to the server
	lines  sync.WaitGroup
}

// inOverseas runs a test in a bubble.
func inOverseas(t *testing.T, offers sink.Config, perHost int, run func(o *overseas)) {
	d, err := smtptest.ParseDialogue(fmt.Appendf(nil, "-- argv --\nd0.example me@example.com you@d0.example\n-- control/me --\nmail.example\n-- control/concurrencyremote --\n%d\n"+
		"-- control/concurrencyperhost --\n%d\n-- control/trustanchors --\n/nonexistent\n-- dns --\n%s-- report --\nK\\n\\0\n", paceSlots, perHost, farZone()))
	if err != nil {
		t.Fatal(err)
	}
	home, _, zone := furnish(t, d)
	synctest.Test(t, func(t *testing.T) {
		o := &overseas{t: t, home: home, engine: New(home, paceSlots), shore: make(chan net.Conn)}
		o.engine.stage(zone, o.dial)
		s, err := o.engine.files.current()
		if err != nil {
			t.Fatal(err)
		}
		s.remote.Resolver = &slowNames{Resolver: zone.Resolver(), known: map[string]bool{}}
		server := sink.Serve(o, offers)
		run(o)
		o.engine.Close()
		server.Close()
		o.lines.Wait()
	})
}

// farZone has two destinations for each slot.
func farZone() string {
	var zone strings.Builder
	for i := range 2 * paceSlots {
		fmt.Fprintf(&zone, "d%d.example. MX 10 mx.d%d.example.\nmx.d%d.example. A 192.0.2.%d\n", i, i, i, 1+i%250)
	}
	return zone.String()
}

// dial takes a round trip; the server knows of it half of one later.
func (o *overseas) dial(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	time.Sleep(roundTrip)
	near, nearLine := smtptest.Pipe(64 << 10)
	farLine, far := smtptest.Pipe(64 << 10)
	o.lines.Go(func() { carryLate(nearLine, farLine) })
	o.lines.Go(func() { carryLate(farLine, nearLine) })
	o.lines.Go(func() {
		time.Sleep(roundTrip / 2)
		o.shore <- far
	})
	return near, nil
}

// carryLate moves what from has to to, each piece half a round trip after it came.
func carryLate(from, to *smtptest.End) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 1<<10)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, 32<<10)
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			pieces <- piece{time.Now().Add(roundTrip / 2), buf[:n]}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		to.Write(p.data)
	}
	to.CloseWrite()
}

// Accept, Close and Addr make a net.Listener of it.
func (o *overseas) Accept() (net.Conn, error) {
	conn, ok := <-o.shore
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (o *overseas) Close() error { close(o.shore); return nil }

func (o *overseas) Addr() net.Addr { return &net.TCPAddr{} }

// slowNames answers late, but what it has answered before at once.
type slowNames struct {
	remote.Resolver
	mu    sync.Mutex
	known map[string]bool // under mu
}

func (s *slowNames) wait(what string) {
	s.mu.Lock()
	known := s.known[what]
	s.mu.Unlock()
	if known {
		return
	}
	time.Sleep(lookUp)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[what] = true
}

func (s *slowNames) MX(ctx context.Context, name string) (resolver.MXAnswer, error) {
	s.wait("MX " + name)
	return s.Resolver.MX(ctx, name)
}

func (s *slowNames) Addrs(ctx context.Context, name string, v6 bool) (resolver.AddrAnswer, error) {
	s.wait(fmt.Sprint(name, v6))
	return s.Resolver.Addrs(ctx, name, v6)
}

// deliver delivers a message, and gives the time that it took.
func (o *overseas) deliver(id string, destination int) time.Duration {
	f, err := os.Open(filepath.Join(o.home, "queue/mess/0/1"))
	if err != nil {
		o.t.Error(err)
		return 0
	}
	defer f.Close()
	begun, host := time.Now(), fmt.Sprintf("d%d.example", destination)
	line := o.engine.Deliver(context.Background(), spawn.Delivery{MessID: id, Sender: "me@example.com", Recipient: "you@" + host, Host: host, Message: f})
	if !strings.HasPrefix(string(line), "K") {
		o.t.Errorf("%s: %q", host, line)
	}
	return time.Since(begun)
}

// all keeps every slot busy, with so many deliveries one after the other, to the
// destination that to says, and complains of those that took longer than the
// protocol does, or less; of the work as a whole, too.
func (o *overseas) all(what string, each int, least, more time.Duration, to func(slot, turn int) int) {
	o.t.Helper()
	var slots sync.WaitGroup
	begun := time.Now()
	for slot := range paceSlots {
		slots.Go(func() {
			for turn := range each {
				if took := o.deliver("0/1", to(slot, turn)); took < least || took > least+more {
					o.t.Errorf("%s: slot %d, turn %d: %v; want %v, and %v more at most", what, slot, turn, took, least, more)
				}
			}
		})
	}
	slots.Wait()
	if took, n := time.Since(begun), time.Duration(each); took > n*(least+more) {
		o.t.Errorf("%s: %v for %d rounds of all slots; want %v, and %v more at most", what, took, each, n*least, n*more)
	}
}

// TestPace: with all slots busy a delivery takes the round trips of the protocol,
// and what recipients are waited for: nobody waits for a slot, a conversation or
// another delivery, when there is no need.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		name         string
		offers       sink.Config
		cold, reused time.Duration // round trips
	}{
		{"clear", sink.Config{}, 5, 2},
		{"CHUNKING", sink.Config{Chunking: true}, 4, 1},
		{"TLS", sink.Config{TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}}, 8, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			inOverseas(t, c.offers, paceSlots, func(o *overseas) {
				// Gathering goes on while connections are made. More conversations are
				// begun than are kept: those of the first turn go.
				o.all("cold", 2, 2*lookUp+c.cold*roundTrip, 0, func(slot, turn int) int { return slot + turn*paceSlots })
				o.all("reused", 2, c.reused*roundTrip, linger, func(slot, _ int) int { return slot + paceSlots })
			})
		})
	}
}

// TestPaceInLine: messages in line for one conversation take one round trip each.
func TestPaceInLine(t *testing.T) {
	for _, chunking := range []bool{false, true} {
		inOverseas(t, sink.Config{Chunking: chunking}, 1, func(o *overseas) {
			o.deliver("0/1", 0)
			const n = maxTransactions - 1 // then another conversation begins
			var all sync.WaitGroup
			begun := time.Now()
			for i := range n {
				all.Go(func() { o.deliver(fmt.Sprintf("0/%d", 2+i), 0) })
			}
			all.Wait()
			if took, least := time.Since(begun), n*roundTrip; took < least || took > least+roundTrip+linger {
				t.Errorf("CHUNKING %v: %v for %d messages; want %v, and %v at most before the first", chunking, took, n, least, roundTrip+linger)
			}
		})
	}
}
