package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"postrider/internal/engine"
	"postrider/internal/sink"
	"postrider/internal/spawn"
)

// gate keeps messages from being answered.
type gate struct {
	mu   sync.Mutex
	held int           // guarded by mu
	open chan struct{} // guarded by mu; nil: it is open
}

func (g *gate) took(sink.Message) {
	g.mu.Lock()
	g.held++
	open := g.open
	g.mu.Unlock()
	if open != nil {
		<-open
	}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held, g.open = 0, make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.open)
	g.open = nil
}

// wait waits until n messages are held.
func (g *gate) wait(n int) error {
	for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(10 * time.Millisecond) {
		g.mu.Lock()
		held := g.held
		g.mu.Unlock()
		if held == n {
			return nil
		}
	}
	return errors.New("not all messages came to be held within a minute")
}

// memory prints what a qmail-rspawn occupies, and what a delivery does in which
// the server has the whole message and has not answered yet.
func memory(o options) error {
	fmt.Printf("Pss of front and engine together, in kB; %d bytes a message; medians of %d rounds\n", o.size, o.rounds)
	fmt.Printf("%-24s %10s %10s %12s %14s\n", "", "at rest", "worked", "in flight", "each in flight")
	for _, o.tls = range []bool{false, true} {
		name := map[bool]string{false: "clear", true: "TLS"}[o.tls]
		w := weights{}
		for range o.rounds {
			if err := w.rspawn(o); err != nil {
				return err
			}
		}
		fmt.Printf("%-24s %10.0f %10.0f %12.0f %14.1f\n", "255, "+name, middle(w.rest), middle(w.worked), middle(w.full), middle(w.each))
	}
	for _, o.tls = range []bool{false, true} {
		name := map[bool]string{false: "clear", true: "TLS"}[o.tls]
		if err := o.many(name, 2000); err != nil {
			return err
		}
	}
	return nil
}

// weights are in kB, one of each a round.
type weights struct{ rest, worked, full, each []float64 }

func middle(v []float64) float64 {
	c := contestant{}
	for _, x := range v {
		c.rounds = append(c.rounds, figures{rate: x})
	}
	return c.median(func(f figures) float64 { return f.rate })
}

// rspawn weighs a qmail-rspawn at rest, after o.n deliveries, and (another one)
// with 255 in flight.
func (w *weights) rspawn(o options) error {
	const n = 255
	o.domains = n
	var g gate
	servers, routes, err := serve(o, sink.Config{Took: g.took})
	if err != nil {
		return err
	}
	defer closeAll(servers)
	control := map[string]string{"smtproutes": routes}
	if o.tls {
		control["trustanchors"] = "/nonexistent\n"
	}
	home, err := makeHome(o, n, control)
	defer os.RemoveAll(home)
	if err != nil {
		return err
	}
	jobs := func(n int) []job {
		list := make([]job, n)
		for i := range list {
			list[i] = job{i%o.domains + 1, fmt.Sprintf("r@d%d.example", i%o.domains)}
		}
		return list
	}
	u, err := start(o.rspawn, home)
	if err != nil {
		return err
	}
	defer u.end()
	if _, _, err := u.deliver(jobs(1), 1); err != nil {
		return err
	}
	rest, err := weigh(u.cmd.Process.Pid)
	if err != nil {
		return err
	}
	g.shut()
	done := make(chan error, 1)
	go func() {
		_, _, err := u.deliver(jobs(n), n)
		done <- err
	}()
	err = g.wait(n)
	full, weighed := weigh(u.cmd.Process.Pid)
	g.release()
	if err := errors.Join(err, weighed, <-done); err != nil {
		return err
	}
	if _, _, err := u.deliver(jobs(o.n), 100); err != nil {
		return err
	}
	worked, err := weigh(u.cmd.Process.Pid)
	w.rest, w.full, w.worked = append(w.rest, rest), append(w.full, full), append(w.worked, worked)
	w.each = append(w.each, (full-rest)/n)
	return err
}

// weigh is the proportional set size of a process and its children, in kB.
func weigh(pid int) (float64, error) {
	all := []int{pid}
	list, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0, err
	}
	for _, word := range strings.Fields(string(list)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			return 0, err
		}
		all = append(all, child)
	}
	sum := 0.0
	for _, pid := range all {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(text), "\nPss:")
		line, _, _ := strings.Cut(rest, "kB")
		kb, err := strconv.ParseFloat(strings.TrimSpace(line), 64)
		if err != nil {
			return 0, err
		}
		fmt.Fprintf(os.Stderr, "process %d: %.0f kB\n", pid, kb)
		sum += kb
	}
	return sum, nil
}

// manyOrder is what the engine of many slots is to do.
type manyOrder struct {
	Home string
	N    int
	Size int
	Of   int // domains
}

// many weighs an engine, in a process of its own, with n deliveries in flight: more
// than qmail-rspawn's protocol has slots for.
func (o options) many(name string, n int) error {
	var g gate
	o.domains = n // a destination never met before gets few at once
	servers, routes, err := serve(o, sink.Config{Took: g.took})
	if err != nil {
		return err
	}
	defer closeAll(servers)
	control := map[string]string{"smtproutes": routes, "concurrencyremote": fmt.Sprintln(n)}
	if o.tls {
		control["trustanchors"] = "/nonexistent\n"
	}
	home, err := makeHome(o, 1, control)
	defer os.RemoveAll(home)
	if err != nil {
		return err
	}
	cmd := again(roleMany, 0)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	defer in.Close()
	if err := json.NewEncoder(in).Encode(manyOrder{Home: home, N: n, Size: o.size, Of: o.domains}); err != nil {
		return err
	}
	r := bufio.NewReader(out)
	if _, err := r.ReadString('\n'); err != nil { // it has delivered one
		return err
	}
	rest, err := weigh(cmd.Process.Pid)
	if err != nil {
		return err
	}
	g.shut()
	fmt.Fprintln(in, "go")
	err = g.wait(n)
	full, weighed := weigh(cmd.Process.Pid)
	g.release()
	if err := errors.Join(err, weighed); err != nil {
		return err
	}
	said, err := r.ReadString('\n')
	if err != nil || said != "ok\n" {
		return fmt.Errorf("%q, %w", said, err)
	}
	fmt.Printf("%-24s %10.0f %10s %12.0f %14.1f\n", fmt.Sprintf("%d, %s (engine alone)", n, name), rest, "", full, (full-rest)/float64(n))
	return nil
}

// many is main for that role.
func many() error {
	in := bufio.NewReader(os.Stdin)
	text, err := in.ReadString('\n')
	if err != nil {
		return err
	}
	var m manyOrder
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return err
	}
	e := engine.New(m.Home, m.N)
	deliver := func(i int) error {
		f, err := os.Open(filepath.Join(m.Home, "queue/mess/0/1"))
		if err != nil {
			return err
		}
		defer f.Close()
		host := fmt.Sprintf("d%d.example", i%m.Of)
		line := e.Deliver(context.Background(), spawn.Delivery{MessID: strconv.Itoa(i), Sender: "me@bench.example", Recipient: "r@" + host, Host: host, Message: f})
		if !strings.HasPrefix(string(line), "K") {
			return fmt.Errorf("not accepted: %s", line)
		}
		return nil
	}
	if err := deliver(m.N); err != nil {
		return err
	}
	runtime.GC()
	fmt.Println("ready")
	if _, err := in.ReadString('\n'); err != nil {
		return err
	}
	var all sync.WaitGroup
	failed := make(chan error, m.N)
	for i := range m.N {
		all.Go(func() {
			if err := deliver(i); err != nil {
				failed <- err
			}
		})
	}
	all.Wait()
	e.Close()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Println("ok")
	return nil
}
