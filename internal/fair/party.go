package fair

// Party is a delivery, its leader, and others that go along: they hold a slot
// each, and end with it. To its destination it is no more than one delivery. The
// leader enters with it, once. A nil Party is a leader alone.
//
// While it waits, it costs as many slots as it has members, and gives up all of
// them at once. While it runs nobody can take them back, so that what runs to one
// destination never holds a slot of the reserve, unless it is one party alone.
type Party struct {
	gate    *Gate
	others  int          // guarded by gate.mu, as is what follows
	to      *destination // where it waits or runs; nil before and after
	running bool
}

// NewParty makes one of a leader alone.
func (g *Gate) NewParty() *Party { return &Party{gate: g} }

// Join adds a delivery, and reports false if there is no room for it.
func (p *Party) Join() bool {
	g := p.gate
	g.mu.Lock()
	defer g.mu.Unlock()
	d := p.to
	if p.running && d.load >= g.limits.most() {
		return false
	}
	p.others++
	if d == nil {
		return true // who is counted when the leader enters, or has no slot any more
	}
	d.held++
	g.held++
	if p.running {
		d.load++
	}
	return true
}

// What follows is called with the Gate locked.

func (p *Party) size() int {
	if p == nil {
		return 1
	}
	return 1 + p.others
}

func (p *Party) enter(d *destination) {
	if p != nil {
		p.to = d
	}
}

func (p *Party) begin() {
	if p != nil {
		p.running = true
	}
}

func (p *Party) leave() {
	if p != nil {
		p.to, p.running = nil, false
	}
}
