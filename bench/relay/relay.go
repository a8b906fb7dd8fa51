// Package relay joins two network namespaces by a line with delay: each packet is
// forwarded a fixed time after it came, and round trips are counted on the way.
package relay

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

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
	near, err := clients.SyscallConn()
	if err != nil {
		return err
	}
	far, err := servers.SyscallConn()
	if err != nil {
		return err
	}
	var failure error
	err = near.Control(func(c uintptr) {
		err := far.Control(func(s uintptr) { failure = r.join(int(c), int(s)) })
		failure = cmp.Or(err, failure)
	})
	return cmp.Or(err, failure)
}

func (r *Relay) join(clients, servers int) error {
	// Each of the two comes back from the kernel for every packet, and is not to wait
	// for a place then.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 2)
	failed := make(chan error, 2)
	go func() { failed <- r.carry(clients, servers, (*flights).fromClient) }()
	go func() { failed <- r.carry(servers, clients, (*flights).fromServer) }()
	return <-failed
}

// carry moves what from has to to, until one of them fails. hear is told of each
// packet when it comes in. The delay is the same for all, so they stay in order.
//
// It has a thread of its own and asks the kernel itself: the runtime's poller counts
// whole milliseconds, and a goroutine at each end of a queue would be woken twice for
// each packet. What is found at once, the segments of one flight, goes on at once.
func (r *Relay) carry(from, to int, hear func(*flights, []byte)) error {
	runtime.LockOSThread()
	// A refusal only makes the line a little longer.
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	var way, free []packet
	buf := make([]byte, 2048)
	for {
		if err := await(from, way); err != nil {
			return err
		}
		now := time.Now()
		due := now.Add(time.Duration(r.oneWay.Load()))
		for {
			n, err := unix.Read(from, buf)
			if err == unix.EAGAIN {
				break
			}
			if err != nil {
				return fmt.Errorf("read: %w", err)
			}
			var p packet
			if last := len(free) - 1; last >= 0 {
				p, free = free[last], free[:last]
			}
			way = append(way, packet{due, append(p.data[:0], buf[:n]...)})
			r.mu.Lock()
			hear(&r.seen, buf[:n])
			r.mu.Unlock()
		}
		gone := 0
		for ; gone < len(way) && !way[gone].due.After(now); gone++ {
			if _, err := unix.Write(to, way[gone].data); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		}
		free = append(free, way[:gone]...)
		way = slices.Delete(way, 0, gone)
	}
}

// await waits until fd can be read, or the first packet on its way is due.
func await(fd int, way []packet) error {
	var until *unix.Timespec
	if len(way) > 0 {
		ts := unix.NsecToTimespec(max(int64(time.Until(way[0].due)), 0))
		until = &ts
	}
	_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, until, nil)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("poll: %w", err)
	}
	return nil
}

// Counts is what has passed.
type Counts struct {
	Flights  int // that clients waited for: round trips
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
