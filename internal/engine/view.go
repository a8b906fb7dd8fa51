package engine

import (
	"net/netip"
	"strings"
	"time"

	"postrider/internal/observe"
	"postrider/remote"
	"postrider/resolver"
)

// slack is what a delivery may take besides Plan and Carry: fair's MaxWait, a
// group's linger, and all that a busy machine takes.
const slack = 10 * time.Minute

// longest is how long a delivery may take in all. Once its turn has come, it may
// stand behind another's verdict before it is carried: see follow.go.
func longest(r *remote.Engine, job *remote.Job) time.Duration {
	return r.Longest(job) + r.Control.TimeoutRemote + slack
}

// Healthy reports whether every delivery under way may still come to its end.
// It does not return if somebody keeps a lock that deliveries need.
func (e *Engine) Healthy() bool {
	e.view()
	return !e.observer.Overdue()
}

// view is what there is to be seen.
func (e *Engine) view() observe.View {
	gate := e.gate.State()
	tls := e.files.sessions.Stats()
	return observe.View{TLS: observe.TLS{Full: tls.Full, Resumed: tls.Resumed, Sessions: tls.Keys}, Limit: gate.Slots, Groups: e.groups.count(), Gate: gate, Idle: e.pool.peers(), DNS: e.files.cache()}
}

func (gs *groups) count() int {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	return len(gs.open)
}

// peers counts idle conversations by address, which is all of their keys that
// may be shown: passwords follow.
func (p *pool) peers() map[netip.AddrPort]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	peers := make(map[netip.AddrPort]int, len(p.idle))
	for key, list := range p.idle {
		text, _, _ := strings.Cut(key, "\n")
		peer, _ := netip.ParseAddrPort(text) // zero is "invalid AddrPort"
		peers[peer] += len(list)
	}
	return peers
}

// cache is how the cache of look-ups fares.
func (f *files) cache() resolver.CacheStats {
	f.mu.Lock()
	dns := f.dns
	f.mu.Unlock()
	if dns == nil {
		return resolver.CacheStats{}
	}
	return dns.Stats()
}
