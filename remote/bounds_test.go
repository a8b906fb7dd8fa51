package remote

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/resolver"
	"postrider/routes"
	"postrider/tlspolicy"
)

// small is a job for d.example.
func small() Job {
	m := &smtp.Message{At: strings.NewReader("x\n"), Size: 2}
	return Job{Host: "d.example", Envelope: smtp.Envelope{Sender: "a@b.example", Rcpts: []string{"c@d.example"}}, Message: m}
}

// crowd is exchangers with addresses, none of which answers.
type crowd struct {
	Resolver
	hosts, addrs int
	asked        *atomic.Int32
}

func (c crowd) MX(context.Context, string) (resolver.MXAnswer, error) {
	var a resolver.MXAnswer
	for i := range c.hosts {
		a.MX = append(a.MX, resolver.MX{Pref: uint16(i), Host: fmt.Sprintf("mx%d.d.example", i)})
	}
	return a, nil
}

func (c crowd) Addrs(_ context.Context, name string, v6 bool) (resolver.AddrAnswer, error) {
	c.asked.Add(1)
	time.Sleep(time.Second)
	a := resolver.AddrAnswer{Canonical: name}
	for i := range c.addrs {
		var b [16]byte
		copy(b[:], name)
		b[0], b[15] = 0x20, byte(i)
		addr := netip.AddrFrom16(b)
		if !v6 {
			addr = netip.AddrFrom4([4]byte{198, 51, b[2], byte(i)})
		}
		a.Addrs = append(a.Addrs, addr)
	}
	return a, nil
}

// TestC12Crowd: 200 exchangers with 50 addresses of each family cost some
// look-ups, twenty attempts and no more, and the mail is deferred.
func TestC12Crowd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "")
		var asked, dialed atomic.Int32
		e.Resolver = crowd{e.Resolver, 200, 50, &asked}
		e.TLS = tlspolicy.New(tlspolicy.Config{})
		e.Control.TimeoutRemote = time.Minute
		e.Dial = func(ctx context.Context, _ netip.Addr, _ netip.AddrPort) (net.Conn, error) {
			dialed.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		start := time.Now()
		o := e.Deliver(context.Background(), small())
		took := time.Since(start)
		if o.Cause != report.NoConnection || o.Letter() != 'Z' {
			t.Errorf("cause %d, %c", o.Cause, o.Letter())
		}
		// The twenty are raced with a stagger, and the last one has its minute.
		if asked.Load() > 402 || dialed.Load() != maxTries || took > 2*time.Minute {
			t.Errorf("%d look-ups, %d attempts, %v", asked.Load(), dialed.Load(), took)
		}
	})
}

// TestSecondPassHasItsTries: under tlsstrictness 1 the pass in clear begins with
// the addresses that the first one has tried, so these are not counted again.
func TestSecondPassHasItsTries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "")
		e.Resolver = crowd{e.Resolver, 1, 15, new(atomic.Int32)}
		e.TLS = tlspolicy.New(tlspolicy.Config{Anchors: "/anchors.pem", Strictness: 1})
		tried := make(map[netip.AddrPort]int)
		e.Dial = func(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
			tried[to]++ // one at a time, as each fails at once
			return nil, syscall.ECONNREFUSED
		}
		o := e.Deliver(context.Background(), small())
		if o.Cause != report.NoConnection || len(tried) != maxTries {
			t.Errorf("cause %d, %d addresses", o.Cause, len(tried))
		}
		for to, n := range tried {
			if n != 2 {
				t.Errorf("%v was tried %d times", to, n)
			}
		}
	})
}

// keptBack is a zone in which questions for CNAMEs have no answer.
type keptBack struct{ Resolver }

func (keptBack) CNAMESecure(context.Context, string) (bool, error) {
	return false, errors.New("SERVFAIL")
}

// TestAliasKeptBack: TLSA records may stand under a secure alias of an insecure
// host. Whoever can keep back the proof of it must not get cleartext for that.
func TestAliasKeptBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := engine(t, "!secure d.example\nd.example. MX 10 mx.d.example.\n"+
			"mx.d.example. CNAME host.other.example.\nhost.other.example. A 192.0.2.1\n")
		e.Resolver = keptBack{e.Resolver}
		cands, cause := e.candidates(context.Background(), hop{domain: "d.example", name: "d.example", port: 25})
		if cause != report.Accepted || len(cands) != 1 || cands[0].Fails != report.DANEFailed {
			t.Errorf("cause %d, %v", cause, list(cands))
		}
	})
}

// TestC66SlowReader: a server that reads hardly anything keeps a delivery no
// longer than one write may take, and one that reads as slowly as it may, no
// longer than the whole may.
func TestC66SlowReader(t *testing.T) {
	const size = 1 << 20
	for rate, limit := range map[int]time.Duration{1: 1200 * time.Second, 40: 12*1260*time.Second + size/slowest*time.Second} {
		synctest.Test(t, func(t *testing.T) {
			e := engine(t, "d.example. A 192.0.2.1\n")
			e.TLS = tlspolicy.New(tlspolicy.Config{})
			e.Control.TimeoutRemote = 1200 * time.Second
			client, server := net.Pipe()
			e.Dial = func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { return client, nil }
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer server.Close()
				r := bufio.NewReaderSize(server, 16)
				for _, reply := range []string{"220 mx", "250 mx", "250 ok", "250 ok", "354 go"} {
					io.WriteString(server, reply+"\r\n")
					if reply != "354 go" {
						r.ReadString('\n')
					}
				}
				for b := make([]byte, rate); ; time.Sleep(time.Second) {
					if _, err := io.ReadFull(server, b); err != nil {
						return
					}
				}
			}()
			job := small()
			job.Message = &smtp.Message{At: strings.NewReader(strings.Repeat("0123456789abcde\n", size/16)), Size: size}
			start := time.Now()
			o := e.Deliver(context.Background(), job)
			took := time.Since(start)
			<-done
			if o.Letter() != 'Z' || o.InDoubt || o.Cause != report.ConnectionDied || took < limit || took > limit+time.Minute {
				t.Errorf("%d bytes a second: %+v after %v", rate, o, took)
			}
		})
	}
}

// panics is a part of an engine that is broken.
type panics struct{}

func (panics) Lookup(string) (routes.Route, bool, error) { panic("routes") }
func (panics) Blocked(netip.Addr) bool                   { panic("tcpto") }
func (panics) TimedOut(netip.Addr)                       {}
func (panics) Answered(netip.Addr)                       {}

// TestC80Panics: a delivery that panics is deferred.
func TestC80Panics(t *testing.T) {
	for name, breaks := range map[string]func(*Engine){
		"routes": func(e *Engine) { e.Routes = panics{} },
		"tcpto":  func(e *Engine) { e.Timeouts = panics{} },
		"dial": func(e *Engine) {
			e.Dial = func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) { panic("dial") }
		},
	} {
		e := engine(t, "d.example. A 192.0.2.1\n")
		breaks(e)
		if o := e.Deliver(t.Context(), small()); o.Cause != report.Crashed || o.Letter() != 'Z' {
			t.Errorf("%s: %+v", name, o)
		}
	}
}
