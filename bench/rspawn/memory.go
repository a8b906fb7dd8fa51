package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"postrider/bench/role"
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
	if g.open != nil {
		close(g.open)
		g.open = nil
	}
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

// calm is how long deliveries have been waiting when they are weighed for the
// second time: the engine has collected its garbage by then.
const calm = 8 * time.Second

// memory prints what a qmail-rspawn occupies, and what a delivery does in which
// the server has the whole message and has not answered yet.
func memory(o options) error {
	fmt.Printf("Pss in kB, of front and engine together where not said otherwise; %d bytes a message; medians of %d rounds.\n", o.size, o.rounds)
	fmt.Printf("Weighed when all deliveries have come to wait at once, and %v later; a delivery's part is what exceeds the engine at rest.\n", calm)
	fmt.Printf("%-30s %10s %10s %10s %10s %10s %10s\n", "", "at rest", "at once", "each", "later", "each", "worked")
	return o.each("255,2000", func(n int) error {
		o := o
		o.domains = n // a destination never met before gets few at once
		for _, tls := range []bool{false, true} {
			if o.tls && !tls {
				continue
			}
			o := o
			o.tls = tls
			if err := o.weigh(n); err != nil {
				return err
			}
		}
		return nil
	})
}

// weigh prints one line, of several rounds.
func (o options) weigh(n int) error {
	var w weights
	for i := range o.rounds {
		fmt.Fprintf(os.Stderr, "%d in flight, %s, round %d\n", n, o.manner(), i+1)
		if err := w.round(o, n); err != nil {
			return err
		}
	}
	return w.print(o, n)
}

// manner is how deliveries go.
func (o *options) manner() string {
	if o.tls {
		return "TLS"
	}
	return "clear"
}

// weights are in kB, one of each a round.
type weights struct {
	rest, full, settled, worked []float64
	inside                      inside // of the last round
}

func middle(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func (w *weights) print(o options, n int) error {
	rest, full, settled := middle(w.rest), middle(w.full), middle(w.settled)
	name, worked := fmt.Sprintf("%d, %s", n, o.manner()), "-"
	if n > spawn.MaxLimit {
		name += " (engine alone)"
	} else {
		worked = fmt.Sprintf("%.0f", middle(w.worked))
	}
	each := (settled - rest) / float64(n)
	fmt.Printf("%-30s %10.0f %10.0f %10.1f %10.0f %10.1f %10s\n", name, rest, full, (full-rest)/float64(n), settled, each, worked)
	if n > spawn.MaxLimit {
		fmt.Printf("%30s %s\n", "of these later:", w.inside)
	}
	return o.record("memory "+o.manner(), "kB a delivery", float64(n), each)
}

// round weighs a qmail-rspawn, or an engine alone, with n deliveries in flight.
func (w *weights) round(o options, n int) error {
	var g gate
	servers, routes, err := serve(o, sink.Config{Took: g.took})
	if err != nil {
		return err
	}
	defer closeAll(servers)
	defer g.release()
	control := map[string]string{"smtproutes": routes, "concurrencyremote": fmt.Sprintln(n)}
	if o.tls {
		control["trustanchors"] = "/nonexistent\n"
	}
	home, err := makeHome(o, 255, control)
	defer os.RemoveAll(home)
	if err != nil {
		return err
	}
	if n > spawn.MaxLimit {
		return w.engine(home, &g, n)
	}
	return w.rspawn(o, home, &g, n)
}

// weigh weighs twice while n messages are held.
func (w *weights) weigh(pid, n int, g *gate) error {
	if err := g.wait(n); err != nil {
		return err
	}
	full, err := weigh(pid)
	if err != nil {
		return err
	}
	time.Sleep(calm)
	settled, err := weigh(pid)
	w.full, w.settled = append(w.full, full), append(w.settled, settled)
	return err
}

// rspawn weighs a qmail-rspawn at rest, with n in flight, and after o.n more
// deliveries.
func (w *weights) rspawn(o options, home string, g *gate, n int) error {
	jobs := func(n int) []job {
		list := make([]job, n)
		for i := range list {
			list[i] = job{i%o.domains + 1, fmt.Sprintf("r@d%d.example", i%o.domains)}
		}
		return list
	}
	time.Sleep(settling)
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
	err = w.weigh(u.cmd.Process.Pid, n, g)
	g.release()
	if err := errors.Join(err, <-done); err != nil {
		return err
	}
	if _, _, err := u.deliver(jobs(o.n), 100); err != nil {
		return err
	}
	worked, err := weigh(u.cmd.Process.Pid)
	w.rest, w.worked = append(w.rest, rest), append(w.worked, worked)
	return err
}

// engine weighs an engine in a process of its own: more deliveries than
// qmail-rspawn's protocol has slots for.
func (w *weights) engine(home string, g *gate, n int) error {
	time.Sleep(settling)
	cmd := role.Again(roleMany, 0)
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
	err = w.converse(cmd, in, json.NewDecoder(bufio.NewReader(out)), manyOrder{Home: home, N: n}, g)
	in.Close()
	return errors.Join(err, cmd.Wait())
}

// converse is our side of what manyEngine does.
func (w *weights) converse(cmd *exec.Cmd, in io.Writer, out *json.Decoder, order manyOrder, g *gate) error {
	say, hear := json.NewEncoder(in), func() error { return out.Decode(&w.inside) }
	if err := say.Encode(order); err != nil {
		return err
	}
	if err := hear(); err != nil { // it has delivered one
		return err
	}
	rest, err := weigh(cmd.Process.Pid)
	if err != nil {
		return err
	}
	g.shut()
	if err := say.Encode(order); err != nil { // the rest
		return err
	}
	err = w.weigh(cmd.Process.Pid, order.N, g)
	if err := errors.Join(err, say.Encode(order), hear()); err != nil { // what is inside
		return err
	}
	g.release()
	w.rest = append(w.rest, rest)
	return out.Decode(new(inside)) // it is done
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
		sum += kb
	}
	return sum, nil
}
