package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"syscall"
	"time"

	"postrider/bench/relay"
	"postrider/bench/role"
)

// Roles.
const (
	roleNear = "near" // the resolver, and a server without a relay before it
	roleFar  = "far"  // the server behind the relay
	roleLink = "link" // the relay; starts far in the namespace it was started in
	roleCopy = "copy" // sends a file to an address, without any protocol
)

var roles = map[string]func() error{
	roleNear: func() error { return (&host{}).obey(os.Stdin, os.Stdout) },
	roleFar:  func() error { return (&host{}).obey(os.Stdin, os.Stdout) },
	roleLink: link,
	roleCopy: func() error { return copyFile(os.Args[1], os.Args[2]) },
}

// Descriptors of link, beside 0 and 1 which it leaves to far.
const (
	nearTUN = 3 + iota
	linkOrders
	linkReports
)

// Both ends of the relayed network; each is local on its own side only.
var (
	nearEnd = netip.MustParsePrefix("192.0.2.1/24")
	farEnd  = netip.MustParsePrefix("192.0.2.7/24")
	// nearServer is where a server without relay listens: local, but no
	// interface's address, lest the client take it for itself.
	nearServer = netip.MustParseAddr("203.0.113.7")
)

// link sets up the far namespace, starts the server in it, and relays. It ends
// with its parent, or when its orders end.
func link() error {
	// Handing a file to a child makes it blocking; the poller needs it otherwise.
	if err := syscall.SetNonblock(nearTUN, true); err != nil {
		return err
	}
	near := os.NewFile(nearTUN, "near")
	far, err := relay.OpenTUN("far0", farEnd)
	if err != nil {
		return err
	}
	server := role.Again(roleFar, 0)
	server.Stdin, server.Stdout = os.Stdin, os.Stdout
	if err := server.Start(); err != nil {
		return err
	}
	os.Stdin.Close()
	os.Stdout.Close()
	r := relay.New()
	failed := make(chan error, 2)
	go func() { failed <- r.Join(near, far) }()
	go func() { failed <- obey(r, os.NewFile(linkOrders, "orders"), os.NewFile(linkReports, "reports")) }()
	err = <-failed
	server.Process.Kill()
	return err
}

// linkOrder is what link is told: a new delay, or nothing; it answers with a
// linkReport either way.
type linkOrder struct {
	OneWay time.Duration // negative: as it was
}

type linkReport = relay.Counts

func obey(r *relay.Relay, in io.Reader, out io.Writer) error {
	return serve(in, out, func(o linkOrder) (linkReport, error) {
		if o.OneWay >= 0 {
			r.Delay(o.OneWay)
		}
		return r.Take(), nil
	})
}

// envelope is a reply as it goes over the pipe.
type envelope[R any] struct {
	Reply R
	Err   string
}

// serve answers orders one after another until in ends.
func serve[O, R any](in io.Reader, out io.Writer, do func(O) (R, error)) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var o O
		if err := dec.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		r, err := do(o)
		a := envelope[R]{Reply: r}
		if err != nil {
			a.Err = err.Error()
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
}

// line is the other end of serve.
type line[O, R any] struct {
	out io.WriteCloser
	dec *json.Decoder
}

func newLine[O, R any](out io.WriteCloser, in io.Reader) *line[O, R] {
	return &line[O, R]{out, json.NewDecoder(in)}
}

// ask sends an order and waits for what comes back.
func (l *line[O, R]) ask(o O) (R, error) {
	var a envelope[R]
	if err := json.NewEncoder(l.out).Encode(o); err != nil {
		return a.Reply, err
	}
	if err := l.dec.Decode(&a); err != nil {
		return a.Reply, err
	}
	if a.Err != "" {
		return a.Reply, errors.New(a.Err)
	}
	return a.Reply, nil
}
