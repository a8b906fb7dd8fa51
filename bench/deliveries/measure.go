package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"postrider/bench/role"
)

// result is what one program did in all rounds of a case.
type result struct {
	program
	testCase
	rounds []round
	memory
}

// measure runs one case for all programs, in turns.
func (r *rig) measure(b *board, c testCase) error {
	h, err := r.set(c)
	if err != nil {
		return err
	}
	var results []*result
	for _, p := range r.programs {
		if !p.other || c.mode == (mode{}) || c.mode == (mode{Chunking: true}) || c.mode == (mode{Lockstep: true}) {
			results = append(results, &result{program: p, testCase: c})
		}
	}
	for i := range r.o.rounds {
		var starts []float64
		for _, d := range r.baselines {
			start, _, err := d.spend(c.inFlight)
			if err != nil {
				return err
			}
			starts = append(starts, start)
		}
		for _, res := range results {
			s, err := r.play(h, res.program, c)
			if err != nil {
				return err
			}
			s.starts = starts
			res.rounds = append(res.rounds, s)
			fmt.Fprintf(os.Stderr, "%v, round %d, %s: %d deliveries, %.1f/s, %.2f ms CPU, p50 %v\n",
				c, i+1, res.name, len(s.took), s.rate, s.cpu, quantile(s.took, 0.5).Round(10*time.Microsecond))
		}
	}
	for _, res := range results {
		if res.memory, err = r.hold(h, res.program, c, r.message()); err != nil {
			return err
		}
	}
	b.deliveries(r, results)
	return nil
}

// idler is a program that is run to do nothing, and what its runs cost.
type idler struct {
	name      string
	path      string
	env       []string
	cpu, wall []float64 // milliseconds, a round each
}

// baselines are the programs that do nothing: one is empty, the other carries
// what every SMTP client in Go does.
var baselines = []string{"empty", "linked"}

// idlers builds the baseline programs.
func (r *rig) idlers() ([]*idler, error) {
	var all []*idler
	for _, name := range baselines {
		path := filepath.Join(r.dir, name)
		build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", path, "./"+filepath.Join(r.o.baseline, name))
		build.Env, build.Stderr = append(os.Environ(), "CGO_ENABLED=0"), os.Stderr
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("build %s: %w", name, err)
		}
		all = append(all, &idler{name: "Go, " + name, path: path})
	}
	return all, nil
}

// runs of a program that does nothing, in a round.
const runs = 100

// doNothing runs the baseline programs, and those under test without arguments:
// what the start of a process costs before it does anything.
func (r *rig) doNothing(b *board) error {
	if r.o.baseline == "" {
		return nil
	}
	all, err := r.idlers()
	if err != nil {
		return err
	}
	r.baselines = slices.Clone(all)
	for _, p := range r.programs {
		all = append(all, &idler{name: p.name + ", no arguments", path: p.path, env: p.settings})
	}
	for i := range r.o.rounds {
		for _, d := range all {
			cpu, wall, err := d.spend(1)
			if err != nil {
				return err
			}
			d.cpu, d.wall = append(d.cpu, cpu), append(d.wall, wall)
			fmt.Fprintf(os.Stderr, "process start, round %d, %s: %.3f ms CPU, %.3f ms\n", i+1, d.name, cpu, wall)
		}
	}
	b.idlers(all)
	return nil
}

// spend makes a round of runs, so many at once, and gives what each has cost, in milliseconds.
func (d *idler) spend(atOnce int) (cpu, wall float64, err error) {
	before, begin := cpuOfChildren(), time.Now()
	var group errgroup.Group
	group.SetLimit(atOnce)
	for range runs {
		group.Go(func() error {
			cmd := exec.Command(d.path)
			cmd.Env = append([]string{"PATH=/bin:/usr/bin"}, d.env...)
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%s: %w", d.name, err)
			}
			return nil
		})
	}
	err = group.Wait()
	return milli(cpuOfChildren()-before) / runs, milli(time.Since(begin)) / runs, err
}

// hauler moves one large message.
type hauler struct {
	name  string
	rtt   time.Duration
	run   func() (time.Duration, error)
	took  []time.Duration
	peak  int           // kB
	extra time.Duration // what the protocol needs beyond the bare socket
	bare  *hauler       // nil where there is nothing to compare with
}

// measureBig sends one large message by every program, and beside it the same
// bytes through a bare socket.
func (r *rig) measureBig(b *board, o options) error {
	file := filepath.Join(r.dir, "big")
	if err := os.WriteFile(file, content(o.big<<20), 0o644); err != nil {
		return err
	}
	plan, err := planOf(o)
	if err != nil {
		return err
	}
	seen := map[testCase]bool{}
	var all []*hauler
	for _, c := range plan {
		if c.inFlight = 1; c.DANE || seen[c] {
			continue
		}
		seen[c] = true
		haulers, err := r.haul(c, file)
		if err != nil {
			return fmt.Errorf("%d MB, %v: %w", o.big, c, err)
		}
		all = append(all, haulers...)
	}
	b.haulers(o.big, all)
	return nil
}

func (r *rig) haul(c testCase, file string) ([]*hauler, error) {
	h, err := r.set(c)
	if err != nil {
		return nil, err
	}
	bare, err := r.bareCopy(h, c, file)
	if err != nil {
		return nil, err
	}
	haulers := []*hauler{bare}
	for _, p := range r.programs {
		if p.other && c.TLS {
			continue
		}
		one := &hauler{name: p.name + ", " + c.mode.String(), rtt: c.rtt}
		if c.rtt > 0 && r.why == "" {
			// Connecting and waiting for the end are in both.
			one.bare, one.extra = bare, c.least(true, r.o.dns, r.questions())-2*c.rtt
		}
		one.run = func() (time.Duration, error) { return r.haulOnce(h, p, c, file) }
		m, err := r.hold(h, p, c, file)
		if err != nil {
			return nil, err
		}
		one.peak = m.peak
		haulers = append(haulers, one)
	}
	for i := range r.o.rounds {
		for _, one := range haulers {
			took, err := one.run()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", one.name, err)
			}
			one.took = append(one.took, took)
			fmt.Fprintf(os.Stderr, "large message, round trip %v, round %d, %s: %v\n", c.rtt, i+1, one.name, took.Round(10*time.Microsecond))
		}
	}
	return haulers, nil
}

func (r *rig) haulOnce(h *line[order, heard], p program, c testCase, file string) (time.Duration, error) {
	if err := r.forget(h); err != nil {
		return 0, err
	}
	number := r.next
	r.next++
	d := r.deliver(p, r.environment(p), file, number, nil)
	return d.took, r.compare(h, p, c, []delivered{d})
}

// bareCopy is a process that writes the file to a socket and waits until all of
// it was read.
func (r *rig) bareCopy(h *line[order, heard], c testCase, file string) (*hauler, error) {
	addr := "127.0.0.1:0"
	switch {
	case h == r.far:
		addr = farEnd.Addr().String() + ":0"
	case r.private:
		addr = nearServer.String() + ":0"
	}
	at, err := h.ask(order{Do: "discard", Addr: addr})
	if err != nil {
		return nil, err
	}
	one := &hauler{name: "bare socket", rtt: c.rtt}
	one.run = func() (time.Duration, error) {
		cmd := role.Again(roleCopy, 0)
		cmd.Args = append(cmd.Args, file, at.Addr)
		begin := time.Now()
		out, err := cmd.Output()
		took := time.Since(begin)
		if err == nil {
			one.peak, err = strconv.Atoi(strings.TrimSpace(string(out)))
		}
		return took, err
	}
	return one, nil
}

// quantile of sorted values; the nearest one above.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// median of values in any order.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}
