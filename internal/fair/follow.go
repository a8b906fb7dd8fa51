package fair

// Follower is a delivery that has been taken out of the line, to go along with
// another. It waits for Go.
type Follower struct {
	// Offer is what it entered with.
	Offer any
	w     *waiter
	gate  *Gate
}

// Follow takes the first delivery out of the line of p's destination, if it has
// an offer that fits, or gives nil. It does not count as running before Go, since
// to the host it is no more than what p stands for. Where there is trouble,
// everybody keeps his place.
//
// Go must be called. Fit is called with the Gate locked, and must not wait.
func (p *Pass) Follow(fit func(offer any) bool) *Follower {
	g, d := p.gate, p.to
	g.mu.Lock()
	defer g.mu.Unlock()
	if p.left || d.broken || d.trouble > 0 || d.line.Len() == 0 {
		return nil
	}
	w := d.line.Front().Value.(*waiter)
	if w.offer == nil || !fit(w.offer) {
		return nil
	}
	d.line.Remove(w.place)
	w.taken = true
	return &Follower{Offer: w.offer, w: w, gate: g}
}

// Go ends the wait: the delivery runs, whatever the window says, as p is about to
// Leave. It finds with in Pass.With. Go is called once.
func (f *Follower) Go(with any) {
	f.gate.mu.Lock()
	defer f.gate.mu.Unlock()
	f.w.pass = f.gate.run(f.w.to, f.w.party, f.gate.now())
	f.w.pass.with = with
	close(f.w.done)
}

// With is what Go was given; nil for a Pass that nobody's Follow led to.
func (p *Pass) With() any { return p.with }
