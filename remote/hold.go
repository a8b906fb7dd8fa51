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
// and the names in tlshosts and notlshosts are held as they are now; who changes them
// must make a new Engine.
func (e *Engine) Hold(dir string) {
	if r, ok := e.Routes.(*routes.SMTP); ok {
		e.Routes = r.Hold()
	}
	e.TLS = e.TLS.Hold()
	e.kept = tcpto.Keep(timeoutFiles(dir))
	e.Own = (&lately{}).has
}

// lately is the addresses of this machine as of a moment ago. What a new one can
// do meanwhile is to be taken for an exchanger's: once, as mail does not come
// back within that time.
type lately struct {
	mu    sync.Mutex // guards what follows
	addrs []netip.Addr
	asked time.Time
}

func (l *lately) has(a netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked.IsZero() || time.Since(l.asked) > time.Second {
		l.asked, l.addrs = time.Now(), interfaces()
	}
	return slices.Contains(l.addrs, a.WithZone(""))
}
