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
	timer   *time.Timer        // guarded by mu: for the first of ages; nil before there was one
	closed  bool               // guarded by mu
	parting sync.WaitGroup     // conversations that say QUIT
}

// idle is a conversation that waits.
type idle struct {
	key   string
	conn  *smtpc.Conn
	until time.Time
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
		if i.conn.Reusable() {
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

// remove takes one out that waits; mu is held.
func (p *pool) remove(i *idle) {
	all := p.idle[i.key]
	at := slices.Index(all, i)
	p.ages.Remove(i.age)
	if all = slices.Delete(all, at, at+1); len(all) == 0 {
		delete(p.idle, i.key)
	} else {
		p.idle[i.key] = all
	}
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
		p.part(eldest.conn)
	}
	i := &idle{key: key, conn: c, until: time.Now().Add(idleTime)}
	i.age = p.ages.PushBack(i)
	p.idle[key] = append(p.idle[key], i)
	if p.ages.Len() == 1 {
		p.wake(idleTime)
	}
}

// wake has expire called; mu is held.
func (p *pool) wake(after time.Duration) {
	if p.timer == nil {
		p.timer = time.AfterFunc(after, p.expire)
		return
	}
	p.timer.Reset(after)
}

// expire ends conversations that have waited long enough. It comes when the first of
// them would have, be that one taken meanwhile: a timer each would cost every message
// that goes on.
func (p *pool) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	for p.ages.Len() > 0 {
		eldest := p.ages.Front().Value.(*idle)
		if left := eldest.until.Sub(now); left > 0 {
			p.wake(left)
			return
		}
		p.remove(eldest)
		p.part(eldest.conn)
	}
}

// part says good-bye beside everything else: it may wait for a slow reader.
func (p *pool) part(c *smtpc.Conn) { p.parting.Go(c.Quit) }

// flush ends all that waits, when what it was negotiated under has changed.
func (p *pool) flush() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for e := p.ages.Front(); e != nil; e = e.Next() {
		p.part(e.Value.(*idle).conn)
	}
	clear(p.idle)
	p.ages.Init()
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil {
		p.timer.Stop()
	}
	p.mu.Unlock()
	p.flush()
	p.parting.Wait()
}
