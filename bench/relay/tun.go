package relay

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// queueLength is how many packets an interface holds: more than any case has in
// flight, for what is dropped is sent again much later.
const queueLength = 1 << 14

// OpenTUN makes an interface of the calling process's namespace whose packets
// are read from and written to the file. It gets addr, and the network around
// addr lies behind it.
func OpenTUN(name string, addr netip.Prefix) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	if err := configure(fd, name, addr); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("set up %s: %w", name, err)
	}
	even()
	// Not before: the poller never wakes for a file that had no interface yet.
	return os.NewFile(uintptr(fd), name), nil
}

// congestion is where a process reads, and sets, what its network namespace does.
const congestion = "/proc/sys/net/ipv4/tcp_congestion_control"

// even gives the namespace a congestion control that sends a window at once, as
// nearly every mail server's does. BBR, where it is the default, spreads the packets
// of one message over a millisecond and more, which then is no cost of the client's.
func even() {
	for _, name := range []string{"cubic", "reno"} {
		if os.WriteFile(congestion, []byte(name), 0) == nil {
			return
		}
	}
}

// Congestion names the congestion control of our namespace, "?" where nothing tells.
func Congestion() string {
	name, err := os.ReadFile(congestion)
	if err != nil {
		return "?"
	}
	return strings.TrimSpace(string(name))
}

func configure(fd int, name string, addr netip.Prefix) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	mask := ^uint32(0) << (32 - addr.Bits())
	steps := []struct {
		request uint
		fill    func() error
	}{
		{unix.SIOCSIFTXQLEN, func() error { ifr.SetUint32(queueLength); return nil }},
		{unix.SIOCSIFADDR, func() error { return ifr.SetInet4Addr(addr.Addr().AsSlice()) }},
		{unix.SIOCSIFNETMASK, func() error {
			return ifr.SetInet4Addr([]byte{byte(mask >> 24), byte(mask >> 16), byte(mask >> 8), byte(mask)})
		}},
		{unix.SIOCSIFFLAGS, func() error { ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
	}
	for _, step := range steps {
		if err := step.fill(); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, step.request, ifr); err != nil {
			return err
		}
	}
	return nil
}
