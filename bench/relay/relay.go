// Package relay joins two network namespaces by a line with delay: each packet is
// forwarded a fixed time after it came, and round trips are counted on the way.
package relay

import (
	"fmt"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// queueLength is how many packets an interface, and the relay, hold: more than
// any case has in flight, for what is dropped is sent again much later.
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
	// Not before: the poller never wakes for a file that had no interface yet.
	return os.NewFile(uintptr(fd), name), nil
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

// Relay forwards packets between two interfaces, each after a fixed delay. Make it
// with New.
type Relay struct {
	oneWay atomic.Int64 // nanoseconds

	mu   sync.Mutex
	seen flights // under mu
}

// packet is one on its way.
type packet struct {
	due  time.Time
	data []byte
}

// New makes a Relay without delay.
func New() *Relay { return &Relay{seen: flights{flows: map[uint16]*flow{}}} }

// Delay sets the time that a packet takes, one way.
func (r *Relay) Delay(oneWay time.Duration) { r.oneWay.Store(int64(oneWay)) }

// Join forwards packets between the interface of the clients and that of the
// servers, until one of them fails.
func (r *Relay) Join(clients, servers *os.File) error {
	failed := make(chan error, 2)
	go func() { failed <- r.carry(clients, servers, (*flights).fromClient) }()
	go func() { failed <- r.carry(servers, clients, (*flights).fromServer) }()
	return <-failed
}

// carry moves what from has to to, until one of them fails. hear is told of each
// packet when it comes in.
func (r *Relay) carry(from, to *os.File, hear func(*flights, []byte)) error {
	queue := make(chan packet, queueLength)
	done := make(chan error, 1)
	go func() { done <- forward(queue, to) }()
	for {
		data := make([]byte, 2048)
		n, err := from.Read(data)
		if err != nil {
			close(queue)
			<-done
			return err
		}
		due := time.Now().Add(time.Duration(r.oneWay.Load()))
		r.mu.Lock()
		hear(&r.seen, data[:n])
		r.mu.Unlock()
		select {
		case queue <- packet{due, data[:n]}:
		case err := <-done:
			return err
		}
	}
}

// forward writes each packet when it is due. The delay is the same for all, so
// they stay in order.
func forward(queue <-chan packet, to *os.File) error {
	for p := range queue {
		if wait := time.Until(p.due); wait > 0 {
			// Not time.Sleep: the poller behind it counts whole milliseconds.
			ts := unix.NsecToTimespec(int64(wait))
			for unix.Nanosleep(&ts, &ts) == unix.EINTR {
			}
		}
		if _, err := to.Write(p.data); err != nil {
			return err
		}
	}
	return nil
}

// Counts is what has passed.
type Counts struct {
	Flights  int // that clients waited for: round trips
	Packets  int
	Sessions int
}

// Take gives what was counted since it was last asked.
func (r *Relay) Take() Counts {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.seen
	r.seen = flights{flows: map[uint16]*flow{}}
	return f.Counts
}
