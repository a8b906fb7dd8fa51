package engine

import (
	"sync"
	"time"

	"postrider/internal/observe"
	"postrider/smtpc"
)

const (
	// idleTime is how long a conversation waits for the next message. Servers
	// count idle clients against us; Postfix's own cache waits 2 s.
	idleTime = 5 * time.Second
	// maxTransactions ends a conversation, lest one of many servers behind one
	// address gets all the mail.
	maxTransactions = 100
	// maxIdle is how many wait in all.
	maxIdle = 500
)

// pool implements remote.Conns.
type pool struct {
	watch *observe.Observer

	mu      sync.Mutex
	idle    map[string][]*idle // guarded by mu; the last is the one that waited least
	count   int                // guarded by mu
	closed  bool               // guarded by mu
	parting sync.WaitGroup     // conversations that say QUIT
}

// idle is a conversation that waits.
type idle struct {
	conn  *smtpc.Conn
	timer *time.Timer
}

func newPool(watch *observe.Observer) *pool {
	return &pool{watch: watch, idle: map[string][]*idle{}}
}

// Take implements remote.Conns.
func (p *pool) Take(key string) *smtpc.Conn {
	for {
		i := p.pop(key)
		if i == nil {
			return nil
		}
		if i.timer.Stop() && i.conn.Reusable() {
			p.watch.Reused()
			return i.conn
		}
		p.part(i.conn)
	}
}

func (p *pool) pop(key string) *idle {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	i := list[len(list)-1]
	p.set(key, list[:len(list)-1])
	return i
}

// set replaces a list, one shorter or longer; mu is held.
func (p *pool) set(key string, list []*idle) {
	p.count += len(list) - len(p.idle[key])
	if len(list) == 0 {
		delete(p.idle, key)
	} else {
		p.idle[key] = list
	}
}

// Keep implements remote.Conns.
func (p *pool) Keep(key string, c *smtpc.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.count >= maxIdle || c.Transactions() >= maxTransactions {
		p.part(c)
		return
	}
	i := &idle{conn: c}
	i.timer = time.AfterFunc(idleTime, func() { p.expire(key, i) })
	p.set(key, append(p.idle[key], i))
}

// expire ends a conversation that has waited long enough, if nobody took it.
func (p *pool) expire(key string, i *idle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	for at, other := range list {
		if other == i {
			p.set(key, append(list[:at:at], list[at+1:]...))
			p.part(i.conn)
			return
		}
	}
}

// part says good-bye beside everything else: it may wait for a slow reader.
func (p *pool) part(c *smtpc.Conn) { p.parting.Go(c.Quit) }

// flush ends all that waits, when what it was negotiated under has changed.
func (p *pool) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, list := range p.idle {
		for _, i := range list {
			i.timer.Stop() // if it is too late, expire finds nothing
			p.part(i.conn)
		}
		delete(p.idle, key)
	}
	p.count = 0
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.flush()
	p.parting.Wait()
}
