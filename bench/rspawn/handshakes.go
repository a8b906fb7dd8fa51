package main

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/bench/role"
	"postrider/internal/sink"
)

// underTLS compares, in the engine, deliveries that each need a full handshake,
// because each goes to a server of its own, with those that find a conversation
// open; and with handshakes and nothing else, which is the least they cost.
func underTLS(o options, inflight int) error {
	o.tls = true
	full := &contestant{name: "a full handshake each", path: o.rspawn}
	bare := &contestant{name: "handshakes alone"}
	reused := &contestant{name: "reused", path: o.rspawn}
	all := []*contestant{full, bare, reused}
	each := o
	each.domains = o.n * more // no destination twice
	many := o
	many.n *= more // that conversations begin counts for little
	for i := range o.rounds {
		for _, c := range all {
			var f figures
			var err error
			switch c {
			case full:
				f, err = round(each, c, inflight)
			case bare:
				f, err = handshakes(o, inflight)
			case reused:
				f, err = round(many, c, inflight)
			}
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", c.name, i+1, err)
			}
			fmt.Fprintf(os.Stderr, "%d in flight, round %d, %s: %.0f/s, %v CPU, %d connections\n", inflight, i+1, c.name, f.rate, f.cpu, f.sessions)
			c.rounds = append(c.rounds, f)
		}
	}
	rate, cpu := func(f figures) float64 { return f.rate }, func(f figures) float64 { return float64(f.cpu) }
	fmt.Printf("%d in flight, TLS 1.3, %d deliveries of %d bytes to as many destinations, and %d to %d, loopback, medians of %d rounds\n", inflight, more*o.n, o.size, more*many.n, o.domains, o.rounds)
	fmt.Printf("%-22s %12s %14s %12s\n", "", "each second", "CPU each", "connections")
	for _, c := range all {
		fmt.Printf("%-22s %12.0f %14v %12.0f\n", c.name, c.median(rate), time.Duration(c.median(cpu)), c.median(func(f figures) float64 { return float64(f.sessions) }))
		if err := o.record("throughput under TLS", c.name, float64(inflight), c.median(rate)); err != nil {
			return err
		}
	}
	fmt.Printf("reused %.1f times a full handshake each; a full handshake each %.2f of handshakes alone\n", reused.median(rate)/full.median(rate), full.median(rate)/bare.median(rate))
	return nil
}

// shakeOrder is what the handshaking process is to do.
type shakeOrder struct {
	Addrs       []string
	N, InFlight int
}

// handshakes makes o.n connections to as many servers, in a process of its own, up
// to the end of the handshake.
func handshakes(o options, inflight int) (f figures, err error) {
	o.n *= more
	o.domains = o.n
	servers, routes, err := serve(o, sink.Config{})
	if err != nil {
		return f, err
	}
	defer closeAll(servers)
	order := shakeOrder{N: o.n, InFlight: inflight}
	for _, line := range strings.Fields(routes) {
		_, addr, _ := strings.Cut(line, ":")
		order.Addrs = append(order.Addrs, strings.NewReplacer("[", "", "]", "").Replace(addr))
	}
	text, err := json.Marshal(order)
	if err != nil {
		return f, err
	}
	cmd := role.Again(roleShake, 0)
	cmd.Stdin = strings.NewReader(string(text))
	out, err := cmd.Output()
	if err != nil {
		return f, err
	}
	var took time.Duration
	if err := json.Unmarshal(out, &took); err != nil {
		return f, err
	}
	r := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return figures{rate: float64(o.n) / took.Seconds(), cpu: time.Duration(r.Utime.Nano()+r.Stime.Nano()) / time.Duration(o.n), sessions: int64(o.n)}, nil
}

// shakeHands is main for that role.
func shakeHands() error {
	var m shakeOrder
	if err := json.NewDecoder(os.Stdin).Decode(&m); err != nil {
		return err
	}
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, m.InFlight)
	begun := time.Now()
	for i := range m.InFlight {
		all.Go(func() {
			for n := next.Add(1); n <= int64(m.N) && errs[i] == nil; n = next.Add(1) {
				errs[i] = shakeOne(m.Addrs[n-1])
			}
		})
	}
	all.Wait()
	if err := errors.Join(slices.Clone(errs)...); err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(time.Since(begun))
}

func shakeOne(addr string) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	r := bufio.NewReaderSize(c, 512)
	for _, say := range []string{"", "EHLO bench.example\r\n", "STARTTLS\r\n"} {
		if _, err := c.Write([]byte(say)); err != nil {
			return err
		}
		for more := true; more; {
			line, err := r.ReadString('\n')
			if err != nil {
				return err
			}
			more = len(line) > 3 && line[3] == '-'
		}
	}
	return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake()
}
