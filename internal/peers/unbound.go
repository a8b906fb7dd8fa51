package peers

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// Resolver is a running validating resolver.
type Resolver struct {
	Addr string // address:port
	*process
}

// Unbound starts a resolver on listen (address:port) that asks zones for everything it knows and validates from
// its anchors, and waits until it listens. Names elsewhere end in SERVFAIL: there is no other server to ask.
func Unbound(t testing.TB, listen string, zones *Zones) *Resolver {
	t.Helper()
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		t.Fatal(err)
	}
	dir := directory(t, "unbound")
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  interface: %s@%s\n  directory: %q\n", host, port, dir)
	b.WriteString("  chroot: \"\"\n  username: \"\"\n  pidfile: \"\"\n  do-daemonize: no\n  use-syslog: no\n  logfile: \"\"\n" +
		"  num-threads: 1\n  verbosity: 1\n  val-log-level: 2\n  module-config: \"validator iterator\"\n" +
		"  access-control: 0.0.0.0/0 allow\n  do-not-query-localhost: no\n  do-ip6: no\n  so-reuseport: no\n" +
		"  outgoing-range: 256\n  num-queries-per-thread: 1024\n")
	for _, a := range zones.Anchor {
		fmt.Fprintf(&b, "  trust-anchor: %q\n", a)
	}
	b.WriteString("remote-control:\n  control-enable: no\n")
	for _, z := range zones.Tops {
		fmt.Fprintf(&b, "stub-zone:\n  name: %q\n  stub-addr: %s\n", z, zones.Addr)
	}
	write(t, dir+"/unbound.conf", b.String())
	r := &Resolver{Addr: listen}
	r.process = launch(t, dir, "/usr/sbin/unbound", "-d", "-c", dir+"/unbound.conf")
	r.listening(t, listen)
	return r
}
