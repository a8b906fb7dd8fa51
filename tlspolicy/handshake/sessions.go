package handshake

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"postrider/internal/apart"
	"postrider/tlspolicy"
)

const (
	// maxSessionAge is how long a session may be resumed: as long as the DNS
	// answers that its policy was made of may be kept, and about as long as
	// servers keep theirs.
	maxSessionAge = time.Hour
	// maxSessionKeys is how many keys have sessions; the longest unused go first.
	maxSessionKeys = 1000
	// maxSessionsPerKey is how many connections can resume at the same time. Of
	// TLS 1.3 each session serves one of them (RFC 8446 §C.4).
	maxSessionsPerKey = 4
	// maxTicket and maxChain bound the bytes of a ticket and of a server's
	// certificates: what is larger is not kept.
	maxTicket = 4 << 10
	maxChain  = 16 << 10
)

// Sessions are TLS sessions for connections to come, each under a key that holds
// all that the session's meaning depends on: the policy with what the server was
// verified by, the server's address, and who we are. A session is never offered
// under another key. It is for concurrent use.
//
// A session has the certificates that the server sent when it was made. They are
// verified again whenever it is resumed, by the policy and the trust anchors of
// that moment, as if they had been sent then.
type Sessions struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	keys  map[string]*list.Element
	order list.List // of *shelf, the latest used first
	stats SessionStats
}

// SessionStats counts handshakes that succeeded and had a chance of a session.
type SessionStats struct {
	Full    uint64 // of these, without one
	Resumed uint64
	Keys    int // that have sessions now
}

// shelf is the sessions of a key, the latest last.
type shelf struct {
	key      string
	sessions []kept
}

type kept struct {
	state *tls.ClientSessionState
	until time.Time
}

// NewSessions has none yet.
func NewSessions() *Sessions { return &Sessions{now: time.Now, keys: map[string]*list.Element{}} }

// Stats tells how it goes.
func (s *Sessions) Stats() SessionStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Keys = len(s.keys)
	return stats
}

// Secure is as the function Secure, but resumes a session where there is one for
// chance.Key, and keeps what sessions the server gives. If that failed with
// chance.Offered, the sessions of the key are forgotten, and another connection
// may fare better: whatever is wrong may be wrong with the session alone.
func (s *Sessions) Secure(ctx context.Context, chance *tlspolicy.Session, how tlspolicy.Policy, conn net.Conn) (net.Conn, tlspolicy.Info, error) {
	config, err := policy(how).config()
	if err != nil {
		conn.Close()
		return nil, tlspolicy.Info{}, fail(tlspolicy.Local, err)
	}
	seat := &seat{all: s, key: chance.Key, chance: chance}
	if config.GetClientCertificate != nil {
		own, err := config.GetClientCertificate(nil)
		if err != nil {
			conn.Close()
			return nil, tlspolicy.Info{}, fail(tlspolicy.Local, err)
		}
		sum := sha256.Sum256(own.Certificate[0]) // the session is one of this certificate's
		seat.key += "\n" + string(sum[:])
	}
	if chance.Afresh {
		s.forget(seat.key)
	}
	config.SessionTicketsDisabled, config.ClientSessionCache = false, seat
	var secured *tls.Conn
	apart.Run(func() { secured, err = shake(ctx, config, conn) })
	if err != nil {
		if chance.Offered {
			s.forget(seat.key)
		}
		return nil, tlspolicy.Info{}, err
	}
	state := secured.ConnectionState()
	seat.settle(&state)
	return secured, policy(how).info(state), nil
}

// seat is one handshake's place at Sessions. It implements
// tls.ClientSessionCache; the keys of crypto/tls, names of servers, say too little.
type seat struct {
	all    *Sessions
	key    string
	chance *tlspolicy.Session

	taken   kept
	settled bool                      // guarded by all.mu
	early   []*tls.ClientSessionState // guarded by all.mu: given before the end of the handshake
	silent  bool                      // guarded by all.mu: nothing is kept
}

// Get implements tls.ClientSessionCache.
func (p *seat) Get(string) (*tls.ClientSessionState, bool) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	p.taken = p.all.take(p.key)
	p.chance.Offered = p.taken.state != nil
	return p.taken.state, p.chance.Offered
}

// Put implements tls.ClientSessionCache. Under TLS 1.3 it is called whenever the
// server likes, by whoever reads.
func (p *seat) Put(_ string, state *tls.ClientSessionState) {
	p.all.mu.Lock()
	defer p.all.mu.Unlock()
	switch {
	case state == nil || p.silent: // nil: what was taken is of no use
	case p.settled:
		p.all.keep(p.key, kept{state, p.all.now().Add(maxSessionAge)})
	case len(p.early) < maxSessionsPerKey:
		p.early = append(p.early, state)
	}
}

// settle ends a handshake that succeeded.
func (p *seat) settle(state *tls.ConnectionState) {
	size := 0
	for _, c := range state.PeerCertificates {
		size += len(c.Raw)
	}
	s := p.all
	s.mu.Lock()
	defer s.mu.Unlock()
	p.settled, p.silent = true, size > maxChain
	if state.DidResume {
		s.stats.Resumed++
	} else {
		s.stats.Full++
	}
	if p.silent {
		return
	}
	for _, early := range p.early {
		s.keep(p.key, kept{early, s.now().Add(maxSessionAge)})
	}
	if state.DidResume && state.Version < tls.VersionTLS13 && len(p.early) == 0 {
		s.keep(p.key, p.taken) // good for another time (RFC 5077 §3.3)
	}
}

// take gives the latest session of a key that is not too old; mu is held.
func (s *Sessions) take(key string) kept {
	e := s.keys[key]
	if e == nil {
		return kept{}
	}
	sh := e.Value.(*shelf)
	n := len(sh.sessions) - 1
	last := sh.sessions[n]
	sh.sessions[n], sh.sessions = kept{}, sh.sessions[:n]
	if old := !s.now().Before(last.until); old || n == 0 {
		s.drop(e) // those before the last are older still
		if old {
			return kept{}
		}
	}
	return last
}

// keep keeps a session for take; mu is held.
func (s *Sessions) keep(key string, k kept) {
	ticket, _, err := k.state.ResumptionState()
	if err != nil || len(ticket) > maxTicket {
		return
	}
	e := s.keys[key]
	if e == nil {
		e = s.order.PushFront(&shelf{key: key})
		s.keys[key] = e
	}
	s.order.MoveToFront(e)
	sh := e.Value.(*shelf)
	if sh.sessions = append(sh.sessions, k); len(sh.sessions) > maxSessionsPerKey {
		sh.sessions = append(sh.sessions[:0], sh.sessions[1:]...)
	}
	if len(s.keys) > maxSessionKeys {
		s.drop(s.order.Back())
	}
}

func (s *Sessions) drop(e *list.Element) {
	delete(s.keys, e.Value.(*shelf).key)
	s.order.Remove(e)
}

// forget drops the sessions of a key.
func (s *Sessions) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.keys[key]; e != nil {
		s.drop(e)
	}
}
