package stage

import (
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/dnstest"
	"postrider/internal/nettest"
	"postrider/internal/smtptest"
)

// OwnNetwork takes the calling thread into a new network, where nobody else is
// and what it starts is too; it dies with the test. The test program runs under
// nettest.
func OwnNetwork(t testing.TB) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if err := nettest.Loopback(); err != nil {
		t.Fatal(err)
	}
}

// ServeNames answers DNS at 127.0.0.1:53 until the test ends.
func ServeNames(t testing.TB, lines string) {
	t.Helper()
	zone, err := dnstest.ParseZone(lines)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dnstest.Serve("127.0.0.1:53", zone, dnstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
}

// Network is a dialogue's own network, its names and its servers.
type Network struct {
	world *smtptest.World
	doors []*door
}

// Enter takes the calling thread into a network in which d is played.
func Enter(t testing.TB, d *smtptest.Dialogue) *Network {
	t.Helper()
	OwnNetwork(t)
	ServeNames(t, d.Zone)
	n := &Network{world: d.World()}
	for addr, s := range d.Servers {
		if s.Refuse {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		o := &door{Listener: l, caller: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}, done: make(chan struct{})}
		if strings.HasPrefix(addr, "[") {
			o.caller.IP = net.ParseIP("2001:db8::9:9")
		}
		n.doors = append(n.doors, o)
		go o.serve(addr, n.world)
	}
	return n
}

// End is called when the client is gone. It returns what went otherwise than
// written.
func (n *Network) End(t testing.TB) []string {
	for _, o := range n.doors {
		o.shut(t)
	}
	return n.world.Finish()
}

// door is a listener that is shut by a call from an address of its own: who
// called before that has been let in.
type door struct {
	net.Listener
	caller *net.TCPAddr
	done   chan struct{}
}

func (o *door) serve(addr string, w *smtptest.World) {
	defer close(o.done)
	for {
		conn, err := o.Accept()
		if err != nil {
			return
		}
		from := conn.RemoteAddr().(*net.TCPAddr).IP
		if from.Equal(o.caller.IP) {
			conn.Close()
			return
		}
		w.Serve(addr, conn, from.String())
	}
}

func (o *door) shut(t testing.TB) {
	defer o.Close()
	dialer := net.Dialer{LocalAddr: o.caller, Timeout: time.Minute}
	last, err := dialer.Dial("tcp", o.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	<-o.done
	last.Close()
}
