package engine

import (
	"container/list"
	"slices"
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
	// maxIdle is how many wait in all. For one more, that leaves which has waited
	// longest: where mail goes most, it goes soon again.
	maxIdle = 500
)

// pool implements remote.Conns.
type pool struct {
	watch *observe.Observer

	mu      sync.Mutex
	idle    map[string][]*idle // guarded by mu; the last is the one that waited least
	ages    *list.List         // guarded by mu: all of idle, that first which has waited longest
	closed  bool               // guarded by mu
	parting sync.WaitGroup     // conversations that say QUIT
}

// idle is a conversation that waits.
type idle struct {
	key   string
	conn  *smtpc.Conn
	timer *time.Timer
	age   *list.Element // in pool.ages
}

func newPool(watch *observe.Observer) *pool {
	return &pool{watch: watch, idle: map[string][]*idle{}, ages: list.New()}
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
	all := p.idle[key]
	if len(all) == 0 {
		return nil
	}
	i := all[len(all)-1]
	p.remove(i)
	return i
}

// remove takes one out that waits, and reports whether it did; mu is held.
func (p *pool) remove(i *idle) bool {
	all := p.idle[i.key]
	at := slices.Index(all, i)
	if at < 0 {
		return false
	}
	p.ages.Remove(i.age)
	if all = slices.Delete(all, at, at+1); len(all) == 0 {
		delete(p.idle, i.key)
	} else {
		p.idle[i.key] = all
	}
	return true
}

// Keep implements remote.Conns.
func (p *pool) Keep(key string, c *smtpc.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || c.Transactions() >= maxTransactions {
		p.part(c)
		return
	}
	if p.ages.Len() >= maxIdle {
		eldest := p.ages.Front().Value.(*idle)
		p.remove(eldest)
		eldest.timer.Stop() // if it is too late, expire finds nothing
		p.part(eldest.conn)
	}
	i := &idle{key: key, conn: c}
	i.timer = time.AfterFunc(idleTime, func() { p.expire(i) })
	i.age = p.ages.PushBack(i)
	p.idle[key] = append(p.idle[key], i)
}

// expire ends a conversation that has waited long enough, if nobody took it.
func (p *pool) expire(i *idle) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.remove(i) {
		p.part(i.conn)
	}
}

// part says good-bye beside everything else: it may wait for a slow reader.
func (p *pool) part(c *smtpc.Conn) { p.parting.Go(c.Quit) }

// flush ends all that waits, when what it was negotiated under has changed.
func (p *pool) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.ages.Front(); e != nil; e = e.Next() {
		i := e.Value.(*idle)
		i.timer.Stop() // if it is too late, expire finds nothing
		p.part(i.conn)
	}
	clear(p.idle)
	p.ages.Init()
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.flush()
	p.parting.Wait()
}
