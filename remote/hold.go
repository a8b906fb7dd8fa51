package remote

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"postrider/routes"
	"postrider/tcpto"
)

// Hold prepares e for many deliveries: files are read, and interfaces asked for,
// as seldom as can be, and each delivery has a tcpto table of its own. smtproutes
// is held as it is now; who changes it must make a new Engine.
func (e *Engine) Hold(dir string) {
	if r, ok := e.Routes.(*routes.SMTP); ok {
		e.Routes = r.Hold()
	}
	e.kept = tcpto.Keep(timeoutFiles(dir))
	e.Interfaces = (&lately{ask: e.Interfaces}).get
}

// lately is the addresses of this machine as of a moment ago. What a new one can
// do meanwhile is to be taken for an exchanger's: once, as mail does not come
// back within that time.
type lately struct {
	ask func() []netip.Addr

	mu    sync.Mutex // guards what follows
	addrs []netip.Addr
	asked time.Time
}

// get gives a slice that may be appended to.
func (l *lately) get() []netip.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked.IsZero() || time.Since(l.asked) > time.Second {
		l.asked, l.addrs = time.Now(), slices.Clip(l.ask())
	}
	return l.addrs
}
