package main

import (
	"cmp"
	"fmt"
	"net/rpc"
	"os"
	"slices"
	"strconv"
	"time"

	"postrider/internal/dnstest"
	"postrider/internal/nettest"
)

// trial is a case of latency.
type trial struct {
	name string
	Mail
	cold, reused int // round trips of the protocol, to the last answer
	queue        bool
}

// trials are the cases. What is cold asks DNS twice, one question after the other
// (MX, then addresses), and makes a connection; what is reused does neither.
var trials = []trial{
	{name: "clear", cold: 5, reused: 2},
	{name: "clear, CHUNKING", Mail: Mail{Chunking: true}, cold: 4, reused: 1},
	{name: "TLS 1.3", Mail: Mail{TLS: true}, cold: 8, reused: 2},
	{name: "clear, in line for one destination", cold: 5, reused: 1, queue: true},
}

func latency(o options) error {
	if err := (nettest.Space{}).Enter(); err != nil {
		return fmt.Errorf("no network of our own: %w", err)
	}
	inflight, err := strconv.Atoi(o.inflight)
	if err != nil {
		return err
	}
	client, cmd, err := startFar()
	if err != nil {
		return err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	names, err := dnstest.Serve("127.0.0.1:0", zone(inflight), dnstest.Options{Delay: o.dns})
	if err != nil {
		return err
	}
	defer names.Close()
	os.Setenv("DNSCACHEIP", names.Addr().String())
	fmt.Printf("%d in flight, each to a destination of its own; round trip %v, DNS %v an answer; %d bytes; medians of %d rounds\n", inflight, o.rtt, o.dns, o.size, o.rounds)
	fmt.Printf("%-36s %-8s %10s %10s %10s %8s %8s\n", "", "", "least ms", "p50 ms", "p99 ms", "p50/least", "trips")
	for _, t := range trials {
		t.OneWay = o.rtt / 2
		if err := t.run(o, client, inflight); err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// zone has an exchanger for each of n destinations, at an address of its own.
func zone(n int) dnstest.Zone {
	z := dnstest.Zone{}
	a := servers.Addr()
	for i := range n {
		a = a.Next()
		z[fmt.Sprintf("d%d.example. MX", i)] = []string{fmt.Sprintf("10 mx.d%d.example.", i)}
		z[fmt.Sprintf("mx.d%d.example. A", i)] = []string{a.String()}
	}
	return z
}

// pace is how a round went.
type pace struct {
	p50, p99, trips float64
}

func (t *trial) run(o options, client *rpc.Client, inflight int) error {
	var cold, reused []pace
	for range o.rounds {
		c, r, err := t.round(o, client, inflight)
		if err != nil {
			return err
		}
		cold, reused = append(cold, c), append(reused, r)
	}
	least := 2*o.dns + time.Duration(t.cold)*o.rtt
	if err := t.print(o, "cold", least, cold); err != nil {
		return err
	}
	return t.print(o, "reused", time.Duration(t.reused)*o.rtt, reused)
}

func (t *trial) print(o options, what string, least time.Duration, all []pace) error {
	slices.SortFunc(all, func(a, b pace) int { return cmp.Compare(a.p50, b.p50) })
	m, ms := all[len(all)/2], least.Seconds()*1000
	fmt.Printf("%-36s %-8s %10.0f %10.1f %10.1f %8.2f %8.2f\n", t.name, what, ms, m.p50, m.p99, m.p50/ms, m.trips)
	if err := o.record("latency "+what, t.name+": least", 0, ms); err != nil {
		return err
	}
	return o.record("latency "+what, t.name+": p50", 0, m.p50)
}

// round delivers one message to each destination, and then again.
func (t *trial) round(o options, client *rpc.Client, inflight int) (cold, reused pace, err error) {
	control := map[string]string{}
	if t.TLS {
		control["trustanchors"] = "/nonexistent\n"
	}
	if t.queue {
		o.perhost = 1
	}
	home, err := makeHome(o, 1, control)
	defer os.RemoveAll(home)
	if err == nil {
		err = client.Call("far.Serve", t.Mail, nil)
	}
	if err != nil {
		return cold, reused, err
	}
	u, err := start(o.rspawn, home)
	if err != nil {
		return cold, reused, err
	}
	if t.queue {
		cold, reused, err = t.line(o, u, client)
	} else if cold, err = t.once(o, u, client, inflight); err == nil {
		reused, err = t.once(o, u, client, inflight)
	}
	_, ended := u.end()
	return cold, reused, cmp.Or(err, ended)
}

// once delivers one message to each destination, all at once.
func (t *trial) once(o options, u *unit, client *rpc.Client, inflight int) (pace, error) {
	jobs := make([]job, inflight)
	for i := range jobs {
		jobs[i] = job{1, fmt.Sprintf("r@d%d.example", i)}
	}
	took, _, err := u.deliver(jobs, inflight)
	if err != nil {
		return pace{}, err
	}
	var l Ledger
	if err := client.Call("far.Ledger", false, &l); err != nil {
		return pace{}, err
	}
	at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() * 1000 }
	return pace{at(0.5), at(0.99), float64(l.Line.Flights) / float64(len(took))}, nil
}

// line delivers messages to one destination that takes one at a time: what is
// reused is the time from one report to the next, in the long run.
func (t *trial) line(o options, u *unit, client *rpc.Client) (cold, reused pace, err error) {
	if cold, err = t.once(o, u, client, 1); err != nil {
		return cold, reused, err
	}
	const n = 60 // on one connection
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = job{1, fmt.Sprintf("r%d@d0.example", i)}
	}
	for i := range jobs { // lest they share a transaction
		jobs[i].message = i + 2
		if err := os.Link(u.home+"/queue/mess/0/1", fmt.Sprintf("%s/queue/mess/0/%d", u.home, i+2)); err != nil {
			return cold, reused, err
		}
	}
	_, all, err := u.deliver(jobs, n)
	if err != nil {
		return cold, reused, err
	}
	var l Ledger
	if err := client.Call("far.Ledger", false, &l); err != nil {
		return cold, reused, err
	}
	each := all.Seconds() * 1000 / n
	return cold, pace{each, each, float64(l.Line.Flights) / n}, nil
}
