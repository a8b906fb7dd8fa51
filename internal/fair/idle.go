package fair

import "time"

// idleList holds destinations that nobody uses, the longest idle first. Its
// zero value is empty. It is not container/list, which allocates.
type idleList struct{ first, last *destination }

func (l *idleList) push(d *destination) {
	d.prev, d.next = l.last, nil
	if l.last == nil {
		l.first = d
	} else {
		l.last.next = d
	}
	l.last = d
}

func (l *idleList) remove(d *destination) {
	if d.prev == nil {
		l.first = d.next
	} else {
		d.prev.next = d.next
	}
	if d.next == nil {
		l.last = d.prev
	} else {
		d.next.prev = d.prev
	}
	d.prev, d.next = nil, nil
}

// find finds what is known about key, or begins to know it, as idle.
func (g *Gate) find(key string, now time.Duration) *destination {
	d := g.known[key]
	switch {
	case d == nil:
	case d.held > 0 || now-d.idleSince <= g.limits.Renew:
		return d
	case now-d.idleSince <= g.limits.Forget:
		if !d.broken {
			d.window, d.calm, d.credit = g.limits.Initial, 0, 0
		}
		return d
	}
	g.forget(now, g.limits.MaxKnown-1)
	d = &destination{key: key, window: g.limits.Initial, idleSince: now}
	g.known[key] = d
	g.idle.push(d)
	return d
}

// forget forgets whoever is idle for long, and the longest idle until no more
// than most are known. Every destination is forgotten once, so this costs
// nothing to speak of for each that came.
func (g *Gate) forget(now time.Duration, most int) {
	for d := g.idle.first; d != nil; d = g.idle.first {
		if now-d.idleSince <= g.limits.Forget && len(g.known) <= most {
			return
		}
		g.idle.remove(d)
		delete(g.known, d.key)
	}
}
