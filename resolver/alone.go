package resolver

import (
	"context"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Alone is a Resolver for a process that does nothing else while it asks. Told
// ahead what will be asked, it asks all of that at once and waits for it with one
// poll(2), where goroutines and package net cost several times as much. It does
// the easy part only: one question to the first server, and its answer, by UDP.
// What does not come to a good answer so is asked as ever.
type Alone struct {
	*Resolver
}

// NewAlone makes an Alone. Its look-ups may go on in any number of goroutines;
// Ahead is for one.
func NewAlone(c Config) *Alone {
	r := New(c, nil)
	r.ahead = &ahead{server: &r.servers[0], off: r.c.UseTCP || r.c.Rotate && r.c.Front == 0 && len(r.servers) > 1}
	return &Alone{r}
}

// Question is one that is asked, or will be. A Cache finds names as they come; what
// it keeps has them askable.
type Question struct {
	name string // of TLSA records with port and protocol
	typ  uint16
}

// OfMX is what Resolver.MX asks.
func OfMX(name string) Question { return Question{name, typeMX} }

// OfAddrs is what Resolver.Addrs asks.
func OfAddrs(name string, v6 bool) Question { return Question{name, addrType(v6)} }

// OfTLSA is what Resolver.TLSA asks.
func OfTLSA(port uint16, name string) Question { return Question{tlsaName(port, name), typeTLSA} }

const (
	// glance is how long Ahead waits. A question that has no answer by then is
	// asked once more, with all the patience there is; so it is a part of what a
	// server that swallows questions for AAAA costs every delivery.
	glance = 150 * time.Millisecond
	// maxAhead is how many questions may be under way.
	maxAhead = 60
)

// Ahead asks all questions at once that have not been asked yet, and waits for
// answers to those of now. It reports whether it has them all in hand, each
// whole: then the look-ups that ask them end without waiting, once each. When
// it reports false, it has nothing more to offer, now or later, but answers that
// have come.
func (a *Alone) Ahead(ctx context.Context, now, later []Question) bool {
	w := a.ahead
	if w.off {
		return false
	}
	due := time.Now().Add(glance)
	if d, ok := ctx.Deadline(); ok && d.Before(due) {
		due = d
	}
	if len(now)+len(later) > maxAhead || !w.ask(now) || !w.ask(later) || !w.await(now, due) {
		w.off = true
		w.close()
	}
	return !w.off
}

// ahead is the questions that were asked ahead.
type ahead struct {
	server *server
	off    bool // there is nothing to be had here any more

	mu   sync.Mutex // guards replies
	list []*asked
}

// asked is a question under way, until it has a reply or has been given up.
type asked struct {
	Question
	q     *question
	id    uint16
	fd    int // -1 when it is not under way any more
	reply *reply
	taken bool
}

func (w *ahead) find(q Question) *asked {
	for _, a := range w.list {
		if a.Question == q {
			return a
		}
	}
	return nil
}

// take gives the reply to a question, to the first who asks for it.
func (w *ahead) take(name string, typ uint16) *reply {
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.find(Question{name, typ})
	if a == nil || a.taken || a.reply == nil {
		return nil
	}
	a.taken = true
	return a.reply
}

// ask sends what was not sent yet. It reports false when there is trouble, or
// too much to do.
func (w *ahead) ask(qs []Question) bool {
	for _, q := range qs {
		name, ok := askable(q.name)
		if !ok || name != q.name {
			return false
		}
		if w.find(q) != nil {
			continue
		}
		if len(w.list) == maxAhead {
			return false
		}
		a := &asked{Question: q, q: newQuestion(name, q.typ), id: freshID()}
		w.list = append(w.list, a)
		if a.fd = send(w.server.Addr, a.q.packet(a.id, true)[2:]); a.fd < 0 {
			return false
		}
	}
	return true
}

// send sends one packet from a socket of its own (see overUDP), and gives the
// socket, or -1.
func send(to netip.AddrPort, packet []byte) int {
	family, sa := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()})
	switch {
	case to.Addr().Zone() != "":
		return -1
	case to.Addr().Is4():
		family, sa = unix.AF_INET, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	if unix.Connect(fd, sa) == nil {
		if _, err := unix.Write(fd, packet); err == nil {
			return fd
		}
	}
	unix.Close(fd)
	return -1
}

// await reports whether every question of now has its reply in due time.
func (w *ahead) await(now []Question, due time.Time) bool {
	var buf [udpSize + 1]byte
	for {
		if ready, ok := w.ready(now); ready || !ok {
			return ok
		}
		left := time.Until(due)
		if left <= 0 {
			return false
		}
		var room [8]unix.PollFd
		fds := room[:0]
		for _, a := range w.list {
			if a.fd >= 0 {
				fds = append(fds, unix.PollFd{Fd: int32(a.fd), Events: unix.POLLIN})
			}
		}
		if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && err != unix.EINTR {
			return false
		}
		i := 0
		for _, a := range w.list {
			if a.fd < 0 {
				continue
			}
			if fds[i].Revents != 0 {
				w.hear(a, buf[:])
			}
			i++
		}
	}
}

// ready reports whether all of now have replies, and whether they still can.
func (w *ahead) ready(now []Question) (ready, ok bool) {
	ready = true
	for _, q := range now {
		switch a := w.find(q); {
		case a.reply == nil && a.fd < 0, a.taken:
			return false, false
		case a.reply == nil:
			ready = false
		}
	}
	return ready, true
}

// hear reads what has come for a: the answer, or something that does not count.
func (w *ahead) hear(a *asked, buf []byte) {
	n, err := unix.Read(a.fd, buf)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	if err == nil && !a.q.answeredBy(buf[:n], a.id) {
		return // see overUDP
	}
	unix.Close(a.fd)
	a.fd = -1
	if err != nil || n > udpSize || binary.BigEndian.Uint16(buf[2:])&flagTC != 0 {
		return
	}
	m, err := a.q.parse(append([]byte(nil), buf[:n]...))
	if err == nil {
		m, err = w.server.judge(m)
	}
	if err == nil && a.endsWith(m) {
		w.mu.Lock()
		a.reply = m
		w.mu.Unlock()
	}
}

// endsWith reports whether the look-up ends with m, well or not: m is no alias whose
// end the server has left to us.
func (a *asked) endsWith(m *reply) bool {
	at, _, err := m.follow(a.name, 0)
	if err != nil || at == a.name || m.rcode == rcodeNXDomain || m.hasSOA && within(at, m.soa) {
		return true
	}
	return slices.ContainsFunc(m.records, func(r record) bool { return r.typ == a.typ && r.owner == at })
}

// close gives up what is under way.
func (w *ahead) close() {
	for _, a := range w.list {
		if a.fd >= 0 {
			unix.Close(a.fd)
			a.fd = -1
		}
	}
}
