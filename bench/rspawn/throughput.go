package main

import (
	"cmp"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"postrider/internal/sink"
	"postrider/internal/smtptest"
)

// figures are what one round gave.
type figures struct {
	rate     float64 // deliveries a second
	cpu      time.Duration
	sessions int64
	messages int64
}

// contestant is one of those that are compared.
type contestant struct {
	name, path string
	env        []string
	rounds     []figures
}

func (c *contestant) median(by func(figures) float64) float64 {
	v := make([]float64, len(c.rounds))
	for i, f := range c.rounds {
		v[i] = by(f)
	}
	slices.Sort(v)
	return v[len(v)/2]
}

// compare runs the contestants in turns.
func compare(o options, inflight int) error {
	all := []*contestant{{name: "engine", path: o.rspawn}}
	switch {
	case o.alone:
	case o.vs != "":
		all = append(all, &contestant{name: "other", path: o.vs})
	default:
		all = append(all, &contestant{name: "process a delivery", path: o.rspawn, env: []string{"QMAILREMOTE=" + o.remote}})
	}
	for i := range o.rounds {
		for _, c := range all {
			f, err := round(o, c, inflight)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", c.name, i+1, err)
			}
			fmt.Fprintf(os.Stderr, "%d in flight, round %d, %s: %.0f/s, %v CPU, %d connections\n", inflight, i+1, c.name, f.rate, f.cpu, f.sessions)
			c.rounds = append(c.rounds, f)
		}
	}
	how := "in clear"
	if o.tls {
		how = "under TLS"
	}
	fmt.Printf("%d in flight, %d destinations, %d recipients a message, %d bytes, %s, loopback, medians of %d rounds\n", inflight, o.domains, o.rcpts, o.size, how, o.rounds)
	fmt.Printf("%-22s %12s %14s %12s %12s\n", "", "deliveries/s", "CPU/delivery", "connections", "transactions")
	rate, cpu := func(f figures) float64 { return f.rate }, func(f figures) float64 { return float64(f.cpu) }
	for _, c := range all {
		fmt.Printf("%-22s %12.0f %14v %12.0f %12.0f\n", c.name, c.median(rate), time.Duration(c.median(cpu)),
			c.median(func(f figures) float64 { return float64(f.sessions) }), c.median(func(f figures) float64 { return float64(f.messages) }))
		if err := o.record("throughput "+how, c.name, float64(inflight), c.median(rate)); err != nil {
			return err
		}
	}
	if len(all) > 1 {
		fmt.Printf("%-22s %12.1f %14.3f\n", "ratio", all[0].median(rate)/all[1].median(rate), all[0].median(cpu)/all[1].median(cpu))
	}
	return nil
}

const (
	// settling is how long a qmail-rspawn runs before it is measured: files that
	// were changed less than two seconds ago are read for each delivery.
	settling = 2200 * time.Millisecond
	// more is how many times as many deliveries an engine runs as processes do, so
	// that its start, a few milliseconds, counts for little.
	more = 5
)

// round makes a home, servers and a qmail-rspawn, and runs o.n deliveries.
func round(o options, c *contestant, inflight int) (f figures, err error) {
	var rcpts atomic.Int64
	servers, routes, err := serve(o, sink.Config{Took: func(m sink.Message) { rcpts.Add(int64(len(m.To))) }})
	if err != nil {
		return f, err
	}
	defer closeAll(servers)
	control := map[string]string{"smtproutes": routes}
	if o.tls {
		control["trustanchors"] = "/nonexistent\n" // opportunistic TLS never reads them
	}
	home, err := makeHome(o, inflight, control)
	defer os.RemoveAll(home)
	if err != nil {
		return f, err
	}
	u, err := start(c.path, home, c.env...)
	if err != nil {
		return f, err
	}
	time.Sleep(settling)
	if len(c.env) == 0 {
		o.n *= more
	}
	jobs := make([]job, o.n)
	for i := range jobs {
		message := i / o.rcpts
		jobs[i] = job{message%inflight + 1, fmt.Sprintf("r%d@d%d.example", i%o.rcpts, message%o.domains)}
	}
	_, took, err := u.deliver(jobs, inflight)
	cpu, ended := u.end()
	if err = cmp.Or(err, ended); err == nil && rcpts.Load() != int64(o.n) {
		err = fmt.Errorf("%d deliveries were reported as accepted, and the server took %d", o.n, rcpts.Load())
	}
	f = figures{rate: float64(o.n) / took.Seconds(), cpu: cpu / time.Duration(o.n)}
	for _, s := range servers {
		f.sessions += s.Sessions.Load()
		f.messages += s.Taken.Load()
	}
	return f, err
}

// serve starts a server for each destination, at an address of its own, and gives
// their routes.
func serve(o options, c sink.Config) (servers []*sink.Server, routes string, err error) {
	if o.tls {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.bench.example")}}
	}
	var text strings.Builder
	for i := range o.domains {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.1.%d:0", i%250+1))
		if err != nil {
			closeAll(servers)
			return nil, "", err
		}
		servers = append(servers, sink.Serve(l, c))
		a := l.Addr().(*net.TCPAddr)
		fmt.Fprintf(&text, "d%d.example:[%v]:%d\n", i, a.IP, a.Port)
	}
	return servers, text.String(), nil
}

func closeAll(servers []*sink.Server) {
	for _, s := range servers {
		s.Close()
	}
}
