package engine

import (
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"postrider/internal/control"
	"postrider/internal/fair"
	"postrider/internal/observe"
	"postrider/internal/watch"
	"postrider/remote"
	"postrider/resolver"
	"postrider/tlspolicy/handshake"
)

// resolvConf is where the resolvers' addresses stand.
const resolvConf = "/etc/resolv.conf"

// snapshot is what the files said when they last changed.
type snapshot struct {
	age    uint64 // of the files
	remote *remote.Engine
	limits fair.Limits
	log    bool
}

// files keeps the snapshot in step with control/ and resolv.conf.
type files struct {
	dir   string
	slots int // of qmail-rspawn
	conns remote.Conns
	watch *observe.Observer
	set   *watch.Set // control/ and resolv.conf

	sessions *handshake.Sessions

	last atomic.Pointer[snapshot] // nil before the first, and after forget

	mu   sync.Mutex      // guards what follows, and is held to make a snapshot
	dns  *resolver.Cache // nil before the first
	conf string          // resolv.conf's text for dns
}

func newFiles(dir string, slots int, conns remote.Conns, observer *observe.Observer) *files {
	paths := []string{resolvConf}
	for _, name := range control.Names() {
		paths = append(paths, dir+"/control/"+name)
	}
	return &files{dir: dir, slots: slots, conns: conns, watch: observer, set: watch.New(paths...), sessions: handshake.NewSessions()}
}

// current gives the snapshot for a delivery that begins now.
func (f *files) current() (*snapshot, error) {
	age := f.set.Age()
	if last := f.last.Load(); last != nil && last.age == age {
		return last, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := control.Load(control.Dir(f.dir), f.dir)
	if err != nil {
		return nil, err
	}
	own, err := control.LoadEngine(control.Dir(f.dir))
	if err != nil {
		return nil, err
	}
	e := remote.New(f.dir, c, f.resolver(), remote.InProcess{Secure: handshake.Secure, Resume: f.sessions.Secure})
	e.Sessions = true
	e.Hold(f.dir)
	e.Conns = f.conns
	e.Dial = dialing(e.Dial, f.watch)
	last := &snapshot{age: age, remote: e, log: own.RemoteLog, limits: fair.Limits{PerHost: own.PerHost, Slots: min(f.slots, own.Concurrent)}}
	f.last.Store(last)
	return last, nil
}

// resolver gives the cache, a new one when resolv.conf has changed.
func (f *files) resolver() *resolver.Cache {
	text, _ := os.ReadFile(resolvConf)
	if f.dns == nil || string(text) != f.conf {
		f.conf = string(text)
		c := resolver.LoadConfig(strings.NewReader(f.conf), os.Getenv("DNSCACHEIP"))
		f.dns = resolver.NewCache(resolver.New(c, nil), resolver.CacheOptions{})
	}
	return f.dns
}

// forget makes the next delivery read everything anew.
func (f *files) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last.Store(nil)
	if f.dns != nil {
		f.dns.Flush()
	}
}
