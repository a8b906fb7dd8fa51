package nettest

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// Loopback brings lo up and makes the documentation addresses local in the namespace this process is in already:
// one that the program made itself, to have several. It must never be called in the machine's own.
func Loopback() error { return loopback(Documentation()) }

// Local is Loopback for other prefixes.
func Local(prefixes ...netip.Prefix) error { return loopback(prefixes) }

// loopback brings lo up and makes prefixes local on it through routes of type local, which Linux calls AnyIP.
func loopback(prefixes []netip.Prefix) error {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	// Containers often start with IPv6 off; without IPv6 in the kernel the file is missing, and the routes tell.
	os.WriteFile("/proc/sys/net/ipv6/conf/lo/disable_ipv6", []byte("0"), 0)
	if err := up(lo.Name); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	for _, p := range prefixes {
		if err := ask(localRoute(p, lo.Index)); err != nil {
			return fmt.Errorf("make %v local: %w", p, err)
		}
		if p.Addr().Is4() {
			continue
		}
		// IPv6 asks an address to be an interface's before it may be bound, routes or not.
		if err := os.WriteFile("/proc/sys/net/ipv6/ip_nonlocal_bind", []byte("1"), 0); err != nil {
			return fmt.Errorf("let IPv6 bind any local address: %w", err)
		}
	}
	return nil
}

// up sets IFF_UP on the interface name.
func up(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return err
	}
	ifr.SetUint16(ifr.Uint16() | unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// localRoute is the rtnetlink request of "ip route replace local p dev INDEX" (rtnetlink(7)).
func localRoute(p netip.Prefix, index int) []byte {
	family := byte(unix.AF_INET)
	if p.Addr().Is6() {
		family = unix.AF_INET6
	}
	ne := binary.NativeEndian
	b := ne.AppendUint32(nil, 0) // length, filled in last
	b = ne.AppendUint16(b, unix.RTM_NEWROUTE)
	b = ne.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_ACK|unix.NLM_F_CREATE|unix.NLM_F_REPLACE)
	b = ne.AppendUint32(b, 1) // sequence
	b = ne.AppendUint32(b, 0) // port: the kernel's
	b = append(b, family, byte(p.Bits()), 0, 0,
		unix.RT_TABLE_LOCAL, unix.RTPROT_STATIC, unix.RT_SCOPE_HOST, unix.RTN_LOCAL)
	b = ne.AppendUint32(b, 0) // flags
	b = attribute(b, unix.RTA_DST, p.Masked().Addr().AsSlice())
	b = attribute(b, unix.RTA_OIF, ne.AppendUint32(nil, uint32(index)))
	ne.PutUint32(b, uint32(len(b)))
	return b
}

// attribute appends one route attribute; the values we use all have a length divisible by four.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofRtAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(b, value...)
}

// ask sends one rtnetlink request and returns the kernel's verdict.
func ask(request []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, os.Getpagesize())
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	const code = unix.SizeofNlMsghdr
	if n < code+4 || binary.NativeEndian.Uint16(answer[4:]) != unix.NLMSG_ERROR {
		return fmt.Errorf("rtnetlink answered %d bytes that are no verdict", n)
	}
	if errno := -int32(binary.NativeEndian.Uint32(answer[code:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}
