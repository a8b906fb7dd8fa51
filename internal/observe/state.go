package observe

import (
	"cmp"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"postrider/internal/fair"
	"postrider/internal/observe/state"
)

// State is how things are.
func (o *Observer) State() state.State {
	v := o.look()
	s := state.State{
		Time: time.Now(), Started: o.started, PID: os.Getpid(),
		Deliveries:   o.counts.deliveries(),
		Slots:        state.Slots{Limit: v.Limit, Groups: v.Groups, Open: o.slots()},
		Destinations: destinations(&v.Gate),
		Connections:  connections(v.Idle),
		Caches: state.Caches{DNS: state.DNS{Entries: v.DNS.Entries, Bytes: v.DNS.Bytes,
			Hits: v.DNS.Hits, Misses: v.DNS.Misses, Shared: v.DNS.Shared, Evicted: v.DNS.Evicted},
			TLS: state.TLS{Sessions: v.TLS.Sessions, Full: v.TLS.Full, Resumed: v.TLS.Resumed}},
	}
	s.Slots.Busy = len(s.Slots.Open)
	s.Connections.Made, s.Connections.Failed, s.Connections.Reused = o.counts.made.Load(), o.counts.failed.Load(), o.counts.reused.Load()
	s.Connections.Overlapped = o.counts.overlapped.Load()
	return s
}

func (o *Observer) slots() []state.Slot {
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]state.Slot, 0, len(o.open))
	for d := range o.open {
		list = append(list, state.Slot{Number: d.Slot, Message: clean(d.MessID), Host: clean(d.Host),
			Phase: Phase(d.phase.Load()).String(), Seconds: now.Sub(d.began).Seconds()})
	}
	slices.SortFunc(list, func(a, b state.Slot) int { return cmp.Compare(a.Number, b.Number) })
	return list
}

func destinations(g *fair.State) state.Destinations {
	s := state.Destinations{Known: len(g.Destinations), Suspects: g.Suspects, Busiest: []state.Destination{}}
	for _, d := range g.Destinations {
		s.Running += d.Running
		s.Waiting += d.Waiting
		if !d.BrokenSince.IsZero() {
			s.Broken++
		}
	}
	slices.SortStableFunc(g.Destinations, func(a, b fair.Destination) int {
		return cmp.Or(cmp.Compare(b.Running+b.Waiting, a.Running+a.Waiting), b.BrokenSince.Compare(a.BrokenSince))
	})
	for _, d := range g.Destinations[:min(len(g.Destinations), state.Most)] {
		name, id, _ := strings.Cut(d.Key, " ")
		shown := state.Destination{Name: clean(name), ID: clean(id), Window: d.Window, Running: d.Running, Waiting: d.Waiting}
		if !d.BrokenSince.IsZero() {
			shown.Broken, shown.Probe = &d.BrokenSince, &d.BrokenUntil
		}
		s.Busiest = append(s.Busiest, shown)
	}
	return s
}

func connections(idle map[netip.AddrPort]int) state.Connections {
	s := state.Connections{Peers: []state.Peer{}}
	for peer, n := range idle {
		s.Idle += n
		s.Peers = append(s.Peers, state.Peer{Address: peer.String(), Idle: n})
	}
	slices.SortFunc(s.Peers, func(a, b state.Peer) int {
		return cmp.Or(cmp.Compare(b.Idle, a.Idle), cmp.Compare(a.Address, b.Address))
	})
	s.Peers = s.Peers[:min(len(s.Peers), state.Most)]
	return s
}
