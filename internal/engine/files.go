package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"

	"postrider/internal/control"
	"postrider/internal/fair"
	"postrider/internal/observe"
	"postrider/remote"
	"postrider/resolver"
	"postrider/tlspolicy/handshake"
)

// resolvConf is where the resolvers' addresses stand.
const resolvConf = "/etc/resolv.conf"

// snapshot is what the files said when they last changed.
type snapshot struct {
	stamp  string
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

	mu   sync.Mutex
	last *snapshot // guarded by mu; nil before the first, and after forget
	dns  *resolver.Cache
	conf string // resolv.conf's stamp for dns
}

func newFiles(dir string, slots int, conns remote.Conns, watch *observe.Observer) *files {
	return &files{dir: dir, slots: slots, conns: conns, watch: watch}
}

// current gives the snapshot for a delivery that begins now.
func (f *files) current() (*snapshot, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.stamp()
	if f.last != nil && f.last.stamp == now {
		return f.last, nil
	}
	c, err := control.Load(control.Dir(f.dir), f.dir)
	if err != nil {
		return nil, err
	}
	own, err := control.LoadEngine(control.Dir(f.dir))
	if err != nil {
		return nil, err
	}
	e := remote.New(f.dir, c, f.resolver(), remote.InProcess{Secure: handshake.Secure})
	e.Conns = f.conns
	dial := e.Dial
	e.Dial = func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
		c, err := dial(ctx, from, to)
		f.watch.Dialed(err)
		return c, err
	}
	f.last = &snapshot{stamp: now, remote: e, log: own.RemoteLog, limits: fair.Limits{PerHost: own.PerHost, Slots: min(f.slots, own.Concurrent)}}
	return f.last, nil
}

// resolver gives the cache, a new one when resolv.conf has changed.
func (f *files) resolver() *resolver.Cache {
	conf := stampOf(resolvConf)
	if f.dns == nil || conf != f.conf {
		f.conf = conf
		text, _ := os.ReadFile(resolvConf)
		c := resolver.LoadConfig(strings.NewReader(string(text)), os.Getenv("DNSCACHEIP"))
		f.dns = resolver.NewCache(resolver.New(c, nil), resolver.CacheOptions{})
	}
	return f.dns
}

// forget makes the next delivery read everything anew.
func (f *files) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = nil
	if f.dns != nil {
		f.dns.Flush()
	}
}

// stamp tells one state of the files from another.
func (f *files) stamp() string {
	var b strings.Builder
	for _, name := range control.Names() {
		b.WriteString(stampOf(f.dir + "/control/" + name))
	}
	b.WriteString(stampOf(resolvConf))
	return b.String()
}

func stampOf(path string) string {
	s, err := os.Stat(path)
	if err != nil {
		return "-"
	}
	return fmt.Sprint(s.ModTime().UnixNano(), s.Size(), ";")
}
