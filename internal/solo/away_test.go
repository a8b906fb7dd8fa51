package solo

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/nettest"
)

func TestMain(m *testing.M) { nettest.Main(m) }

// TestAway: what an interface has is not away, be it the second address of a
// network, nor what the kernel takes for its own, nor what it cannot tell without
// a zone; another machine is, with a route or without.
func TestAway(t *testing.T) {
	join(t, "lo:1", "198.18.5.1", "255.255.255.0")
	join(t, "lo:2", "198.18.5.3", "255.255.255.0")
	// nettest lets everybody bind what is IPv6: then nothing is certain.
	const nonlocal = "/proc/sys/net/ipv6/ip_nonlocal_bind"
	set := func(s string) {
		if err := os.WriteFile(nonlocal, []byte(s), 0); err != nil {
			t.Fatal(err)
		}
	}
	set("1")
	if Away(netip.MustParseAddr("2001:500::1")) {
		t.Error("certain, where everybody may bind everything")
	}
	set("0")
	defer set("1")
	for a, want := range map[string]bool{
		"198.18.5.1": false, "::ffff:198.18.5.1": false, "198.18.5.3": false, "127.0.0.1": false, "::1": false,
		"0.0.0.0": false, "::": false, "192.0.2.7": false, "2001:db8::25": true, // as nettest makes them
		"fe80::1": false, "fe80::1%lo": false, "fe80::1%nowhere": false, "198.18.5.255": false, "224.0.0.1": false,
		"198.18.6.1": true, "::ffff:198.18.6.1": true, "2001:500::1": true,
	} {
		if got := Away(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s: %v", a, got)
		}
	}
}

// join puts the machine into one more network: an alias of the loopback interface.
func join(t *testing.T, iface, addr, mask string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	alias, err := unix.NewIfreq(iface)
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
