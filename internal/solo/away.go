package solo

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Away says for certain that no interface of this machine has that address: what
// the kernel would send there would not come from there. No packet is sent, and
// it costs a fraction of a list of all interfaces, which has to be made only for
// what may be our own, or has no route.
func Away(a netip.Addr) bool {
	target, family := sockaddr(netip.AddrPortFrom(a, 9)) // any port but 0 will do
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if unix.Connect(fd, target) != nil {
		return false
	}
	from, err := unix.Getsockname(fd)
	return err == nil && addrPort(from).Addr() != a.WithZone("").Unmap()
}
