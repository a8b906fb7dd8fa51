package main

import (
	"cmp"
	"fmt"
	"net/rpc"
	"os"
	"slices"
	"time"

	"postrider/bench/relay"
	"postrider/bench/role"
	"postrider/internal/dnstest"
	"postrider/internal/nettest"
	"postrider/internal/spawn"
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
	{name: "clear, in line for one host", cold: 5, reused: 1, queue: true},
}

// How many times inflight deliveries are streamed: passes where each destination is
// a new one, laps on conversations that there are.
const passes, laps = 4, 20

// messages is how many there are. Consecutive deliveries are never of the same.
const messages = 2 * spawn.MaxLimit

func latency(o options) error {
	if err := (nettest.Space{}).Enter(); err != nil {
		return fmt.Errorf("no network of our own: %w", err)
	}
	client, cmd, err := startFar()
	if err != nil {
		return err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	names, err := dnstest.Serve("127.0.0.1:0", zone(), dnstest.Options{Delay: o.dns})
	if err != nil {
		return err
	}
	defer names.Close()
	os.Setenv("DNSCACHEIP", names.Addr().String())
	fmt.Printf("round trip %v, DNS %v an answer; %d bytes, TCP %s; each delivery to a destination of its own; medians of %d rounds.\n", o.rtt, o.dns, o.size, relay.Congestion(), o.rounds)
	fmt.Println("burst: all begin in one instant. steady: they begin evenly spread, as many as end in the least time there is.")
	fmt.Println("bare: a client that does nothing but send and count replies, in the same rounds on the same processors.")
	fmt.Printf("%-28s %-14s %9s %9s %8s %8s %10s %9s %9s %9s\n", "", "", "in flight", "least ms", "p50 ms", "p99 ms", "p50/least", "connects", "bare p50", "p50/bare")
	for _, t := range trials {
		t.OneWay = o.rtt / 2
		if t.queue {
			if err := t.run(o, client, 1); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			continue
		}
		err := o.each("20,100,255", func(n int) error { return t.run(o, client, min(n, spawn.MaxLimit)) })
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
	}
	return nil
}

// zone has an exchanger for each destination, at an address of its own: those of
// bursts (d0.example) and those of streams (s0.example).
func zone() dnstest.Zone {
	z := dnstest.Zone{}
	a := servers.Addr()
	for _, kind := range []string{"d", "s"} {
		for i := range passes * spawn.MaxLimit {
			a = a.Next()
			z[fmt.Sprintf("%s%d.example. MX", kind, i)] = []string{fmt.Sprintf("10 mx.%s%d.example.", kind, i)}
			z[fmt.Sprintf("mx.%s%d.example. A", kind, i)] = []string{a.String()}
		}
	}
	return z
}

// pace is how deliveries went.
type pace struct {
	p50, p99, dials, under float64
}

func paceOf(took []time.Duration, under, dials float64) pace {
	at := func(q float64) float64 { return took[min(int(q*float64(len(took))), len(took)-1)].Seconds() * 1000 }
	return pace{at(0.5), at(0.99), dials, under}
}

// figure is one line of the table.
type figure struct {
	what        string
	least       time.Duration
	paces, bare []pace
}

// median is the pace of the middle p50.
func median(all []pace) pace {
	slices.SortFunc(all, func(a, b pace) int { return cmp.Compare(a.p50, b.p50) })
	return all[len(all)/2]
}

func (t *trial) run(o options, client *rpc.Client, inflight int) error {
	cold, reused := 2*o.dns+time.Duration(t.cold)*o.rtt, time.Duration(t.reused)*o.rtt
	figures := []*figure{{what: "cold, burst", least: cold}, {what: "reused, burst", least: reused},
		{what: "cold, steady", least: cold}, {what: "reused, steady", least: reused}}
	if t.queue {
		figures = []*figure{{what: "cold", least: cold}, {what: "reused", least: reused}}
	}
	engine := func(home string) (*unit, error) { return start(o.rspawn, home) }
	bare := func(home string) (*unit, error) { return begin(role.Again(roleBare, 0), home) }
	for range o.rounds {
		if err := t.round(o, client, inflight, engine, func(i int, p pace) { figures[i].paces = append(figures[i].paces, p) }, figures); err != nil {
			return err
		}
		if t.TLS || t.queue {
			continue // bare knows neither
		}
		if err := t.round(o, client, inflight, bare, func(i int, p pace) { figures[i].bare = append(figures[i].bare, p) }, figures); err != nil {
			return fmt.Errorf("bare: %w", err)
		}
	}
	for _, f := range figures {
		if err := t.print(o, inflight, f); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) print(o options, inflight int, f *figure) error {
	m, ms := median(f.paces), f.least.Seconds()*1000
	fmt.Printf("%-28s %-14s %9.0f %9.0f %8.1f %8.1f %10.2f %9.2f", t.name, f.what, m.under, ms, m.p50, m.p99, m.p50/ms, m.dials)
	if len(f.bare) > 0 {
		b := median(f.bare)
		fmt.Printf(" %9.1f %9.2f", b.p50, m.p50/b.p50)
	}
	fmt.Println()
	if t.queue {
		return nil
	}
	return o.record("latency "+t.name, f.what, float64(inflight), m.p50/ms)
}

// round starts a unit and measures each of figures with it, in their order.
func (t *trial) round(o options, client *rpc.Client, inflight int, unit func(home string) (*unit, error), took func(i int, p pace), figures []*figure) error {
	control := map[string]string{}
	if t.TLS {
		control["trustanchors"] = "/nonexistent\n"
	}
	if t.queue {
		o.perhost = 1
	}
	home, err := makeHome(o, messages, control)
	defer os.RemoveAll(home)
	if err == nil {
		err = client.Call("far.Serve", t.Mail, nil)
	}
	if err != nil {
		return err
	}
	u, err := unit(home)
	if err != nil {
		return err
	}
	time.Sleep(settling)
	for i, f := range figures {
		var p pace
		switch {
		case t.queue && i == 1:
			p, err = t.line(u, client)
		case i < 2:
			p, err = once(u, client, inflight)
		case i == 2:
			p, err = stream(u, client, inflight, f.least, named("s", passes*inflight))
		default:
			// More than are in flight, so that none is still busy, of those that the
			// engine has conversations with: it keeps 500.
			// Once before, since BDAT waits for the replies to RCPT where a conversation
			// has been silent for a second.
			all := append(named("d", inflight), named("s", min(inflight, 500-inflight))...)
			if _, err = stream(u, client, inflight, 4*f.least, all); err != nil {
				break
			}
			for len(all) < laps*inflight {
				all = append(all, all...)
			}
			p, err = stream(u, client, inflight, f.least, all[:laps*inflight])
		}
		if err != nil {
			u.end()
			return err
		}
		took(i, p)
	}
	_, err = u.end()
	return err
}

// named is a job for each of n destinations.
func named(kind string, n int) []job {
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = job{i%messages + 1, fmt.Sprintf("r@%s%d.example", kind, i)}
	}
	return jobs
}

// dials is how many connections each of n deliveries has made, since the last call.
func dials(client *rpc.Client, n int) (float64, error) {
	var l Ledger
	err := client.Call("far.Ledger", false, &l)
	return float64(l.Sessions) / float64(n), err
}

// once delivers one message to each destination, all at once.
func once(u *unit, client *rpc.Client, inflight int) (pace, error) {
	took, _, err := u.deliver(named("d", inflight), inflight)
	if err != nil {
		return pace{}, err
	}
	each, err := dials(client, len(took))
	return paceOf(took, float64(inflight), each), err
}

// stream delivers jobs, of which inflight begin within the least time that one takes.
func stream(u *unit, client *rpc.Client, inflight int, least time.Duration, jobs []job) (pace, error) {
	f, err := u.stream(jobs, inflight, least/time.Duration(inflight))
	if err != nil {
		return pace{}, err
	}
	each, err := dials(client, len(jobs))
	return paceOf(f.took, f.under, each), err
}

// line delivers messages to one destination that takes one at a time: what is
// reused is the time from one report to the next, in the long run.
func (t *trial) line(u *unit, client *rpc.Client) (pace, error) {
	const n = 60 // on one connection
	jobs := make([]job, n)
	for i := range jobs {
		jobs[i] = job{i + 1, fmt.Sprintf("r%d@d0.example", i)}
	}
	_, all, err := u.deliver(jobs, n)
	if err != nil {
		return pace{}, err
	}
	ledger, err := dials(client, n)
	each := all.Seconds() * 1000 / n
	return pace{each, each, ledger, 1}, err
}
