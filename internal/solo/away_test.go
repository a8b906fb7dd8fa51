package solo

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/nettest"
)

func TestMain(m *testing.M) { nettest.Main(m) }

// TestAway: what an interface has is not away, nor what the kernel would reach by
// itself, nor what it can send nothing to; another machine of a network is.
func TestAway(t *testing.T) {
	if nettest.Why() != "" {
		t.Skip(nettest.Why())
	}
	join(t, "198.18.5.1", "255.255.255.0")
	for a, want := range map[string]bool{
		"198.18.5.1": false, "::ffff:198.18.5.1": false, "127.0.0.1": false, "::1": false,
		"192.0.2.7": false, "fe80::1": false, "fe80::1%nowhere": false,
		"198.18.6.1": false, "2001:500::1": false, "198.18.5.255": false,
		"198.18.5.2": true, "::ffff:198.18.5.2": true, "198.18.5.254": true,
	} {
		if got := Away(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// join puts the machine into one more network: an alias of the loopback interface.
func join(t *testing.T, addr, mask string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	alias, err := unix.NewIfreq("lo:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, set := range []struct {
		request uint
		addr    string
	}{{unix.SIOCSIFADDR, addr}, {unix.SIOCSIFNETMASK, mask}} {
		if err := alias.SetInet4Addr(net.ParseIP(set.addr).To4()); err != nil {
			t.Fatal(err)
		}
		if err := unix.IoctlIfreq(fd, set.request, alias); err != nil {
			t.Fatal(err)
		}
	}
}
