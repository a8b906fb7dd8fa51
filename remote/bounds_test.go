package remote

import (
	"context"
	"errors"
	"fmt"
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
