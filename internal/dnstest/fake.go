package dnstest

import (
	"context"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"postrider/resolver"
)

// Fake is a resolver.Resolver whose one server, a trusted one, is a zone in
// memory: the same answers and failures as from the network, without a socket.
// A question that is marked !timeout waits for its context, or the 60 seconds
// that the resolver waits at most; under testing/synctest it does not take them.
type Fake struct {
	*resolver.Resolver
	log questions
}

// Resolver is a Fake of a zone; a zone that cannot be is a panic.
func (z Zone) Resolver() *Fake {
	b, err := compile(z)
	if err != nil {
		panic(err.Error())
	}
	f := &Fake{}
	local := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 53)
	f.Resolver = resolver.New(resolver.Config{
		Servers:  []resolver.Server{{Addr: local, Trusted: true}},
		Timeout:  time.Hour,
		Attempts: 1,
	}, func(_ context.Context, network, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go f.converse(b, ours, network == "tcp")
		return theirs, nil
	})
	return f
}

// Questions is what was asked, in order, each as "name. TYPE", with " tcp" after
// it when it came by TCP.
func (f *Fake) Questions() []string { return f.log.list() }

// converse answers the one question of a connection and waits for its end.
func (f *Fake) converse(b *book, conn net.Conn, tcp bool) {
	defer conn.Close()
	buf := make([]byte, 1024) // one write is one read, as with datagrams
	n, err := conn.Read(buf)
	if err != nil {
		return
	}
	q := buf[:n]
	if tcp {
		q = q[2:]
	}
	r, asked := b.respond(q, tcp)
	f.log.add(asked, tcp)
	if r.hangUp {
		return
	}
	if r.msg != nil {
		if tcp {
			r.msg = Frame(r.msg)
		}
		conn.Write(r.msg)
	}
	io.Copy(io.Discard, conn)
}

// questions is a log of what was asked.
type questions struct {
	mu  sync.Mutex
	all []string // under mu; the first maxQuestions
	n   int      // under mu; of all
}

// maxQuestions is how many questions are remembered, so that a long benchmark
// does not measure its own memory.
const maxQuestions = 1 << 16

func (l *questions) add(asked string, tcp bool) {
	if tcp {
		asked += " tcp"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n++; l.n <= maxQuestions {
		l.all = append(l.all, asked)
	}
}

func (l *questions) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.all...)
}

func (l *questions) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}
