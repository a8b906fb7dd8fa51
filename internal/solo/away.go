package solo

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// Away says for certain that this machine does not have that address: the kernel
// lets nobody bind it. Whether it does have an address, only the list of all
// interfaces tells; but that costs many times as much, and this spares it for
// nearly all exchangers.
//
// A route would not tell: what is sent to the second of two addresses in one
// network comes from the first. Nor does binding tell of an address in a VRF,
// which is as far away as another machine's (control/ipme may name it).
func Away(a netip.Addr) bool {
	addr, family := sockaddr(netip.AddrPortFrom(a.WithZone(""), 0))
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	return unix.Bind(fd, addr) == unix.EADDRNOTAVAIL
}
