// Rspawn measures deliveries through qmail-rspawn's own protocol: in its engine,
// and by a process for each, side by side in one run.
//
//	rspawn [-mode throughput|handshakes|latency|memory] [-rspawn bin/qmail-rspawn] [-remote bin/qmail-remote] [flags]
//
// Throughput prints deliveries a second, CPU time a delivery (all processes of
// the unit, the server's not) and connections, as medians of interleaved rounds,
// and the ratio. Handshakes compares deliveries under TLS that each begin with a
// full handshake, those over conversations that are open, and handshakes alone. Latency puts packet delay between the engine and the server, in
// a network of its own, and compares with the least that the protocol allows, and with
// a client that does nothing but send and count replies.
// Memory is what deliveries occupy while the server holds the last answer back.
//
// With -data, results are appended to a file of lines "case series x y", of which
// bench/plot makes pictures. It exits 1 if a delivery was not accepted or the
// server's ledger does not agree.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postrider/bench/role"
)

type options struct {
	mode, rspawn, vs, remote, data           string
	inflight                                 string
	n, domains, rcpts, size, rounds, perhost int
	alone, tls                               bool
	rtt, dns                                 time.Duration
}

func main() {
	if status, played := role.Play("rspawn", roles); played {
		os.Exit(status)
	}
	var o options
	flag.StringVar(&o.mode, "mode", "throughput", "what is measured: throughput, handshakes, latency or memory")
	flag.StringVar(&o.rspawn, "rspawn", "bin/qmail-rspawn", "the qmail-rspawn to measure")
	flag.StringVar(&o.vs, "vs", "", "another qmail-rspawn, to compare throughput with instead of a process for each delivery")
	flag.StringVar(&o.remote, "remote", "bin/qmail-remote", "the qmail-remote that it runs for comparison")
	flag.StringVar(&o.data, "data", "", "a file that results are appended to")
	flag.IntVar(&o.n, "n", 2000, "deliveries a round")
	flag.StringVar(&o.inflight, "inflight", "", "deliveries at a time, several with commas between; 100, for latency 20,100,255, for memory 255,2000")
	flag.IntVar(&o.domains, "domains", 50, "destinations")
	flag.IntVar(&o.rcpts, "rcpts", 1, "recipients a message, all at one destination")
	flag.IntVar(&o.size, "size", 4096, "bytes a message")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each")
	flag.IntVar(&o.perhost, "perhost", 255, "deliveries at a time to one destination")
	flag.BoolVar(&o.alone, "alone", false, "measure the engine's throughput alone")
	flag.BoolVar(&o.tls, "tls", false, "throughput or memory under TLS alone")
	flag.DurationVar(&o.rtt, "rtt", 40*time.Millisecond, "round-trip time, for latency")
	flag.DurationVar(&o.dns, "dns", 20*time.Millisecond, "time that each answer of DNS takes, for latency")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "rspawn:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	for _, path := range []*string{&o.rspawn, &o.vs, &o.remote} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("load %s at the start\n", strings.Join(strings.Fields(string(load))[:3], " "))
	switch o.mode {
	case "throughput":
		return o.each("100", func(n int) error { return compare(o, n) })
	case "handshakes":
		return o.each("100", func(n int) error { return underTLS(o, n) })
	case "latency":
		return latency(o)
	case "memory":
		return memory(o)
	}
	return fmt.Errorf("no mode %q", o.mode)
}

// each calls do with each number of deliveries at a time.
func (o *options) each(preset string, do func(inflight int) error) error {
	for _, word := range strings.Split(cmp.Or(o.inflight, preset), ",") {
		n, err := strconv.Atoi(word)
		if err == nil && n < 1 {
			err = fmt.Errorf("%d deliveries at a time", n)
		}
		if err != nil {
			return err
		}
		if err := do(n); err != nil {
			return err
		}
	}
	return nil
}

// record appends a result for bench/plot.
func (o *options) record(what, series string, x, y float64) error {
	if o.data == "" {
		return nil
	}
	f, err := os.OpenFile(o.data, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%s\t%s\t%g\t%g\n", what, series, x, y)
	return err
}
