package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// delivered is one delivery, seen from outside.
type delivered struct {
	sender string
	took   time.Duration // from before fork to the end of the process
	report []byte
	err    error
}

// accepted says whether the report, for one recipient, is that all went well.
func (d delivered) accepted() bool {
	return d.err == nil && bytes.HasPrefix(d.report, []byte("r")) && bytes.Contains(d.report, []byte("\x00K"))
}

// deliver runs p as qmail-rspawn does: the message on descriptor 0, one pipe on
// 1 and 2. started, if set, hears of the process.
func (r *rig) deliver(p program, env []string, message string, number int, started func(pid int)) delivered {
	d := delivered{sender: "d" + strconv.Itoa(number) + "@client.example"}
	f, err := os.Open(message)
	if err != nil {
		d.err = err
		return d
	}
	defer f.Close()
	out, in, err := os.Pipe()
	if err != nil {
		d.err = err
		return d
	}
	defer out.Close()
	ctx, stop := context.WithTimeout(context.Background(), patience)
	defer stop()
	cmd := exec.CommandContext(ctx, p.path, domain, d.sender, "rcpt@"+domain)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = f, in, in, env
	begin := time.Now()
	err = cmd.Start()
	in.Close()
	if err != nil {
		d.err = err
		return d
	}
	if started != nil {
		started(cmd.Process.Pid)
	}
	d.report, err = io.ReadAll(out)
	d.err = cmd.Wait()
	d.took = time.Since(begin)
	if d.err == nil {
		d.err = err
	}
	return d
}

// round is what one program did in one round of a case.
type round struct {
	rate      float64   // deliveries a second
	cpu       float64   // milliseconds for each, with all descendants
	starts    []float64 // milliseconds for each of the baselines, as many at once
	flights   float64   // for each; 0 where nobody counts
	questions float64
	took      []time.Duration // sorted
}

// play starts deliveries for a while, n under way at any time.
func (r *rig) play(h *line[order, heard], p program, c testCase) (round, error) {
	if err := r.forget(h); err != nil {
		return round{}, err
	}
	env, before := r.environment(p), cpuOfChildren()
	var mu sync.Mutex
	var all []delivered
	var workers sync.WaitGroup
	until := time.Now().Add(r.o.round)
	for range c.inFlight {
		workers.Go(func() {
			for first := true; first || time.Now().Before(until); first = false {
				mu.Lock()
				number := r.next
				r.next++
				mu.Unlock()
				d := r.deliver(p, env, r.message(), number, nil)
				mu.Lock()
				all = append(all, d)
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	reapOrphans()
	cpu := cpuOfChildren() - before
	if err := r.compare(h, p, c, all); err != nil {
		return round{}, err
	}
	return r.sum(all, cpu, c)
}

// forget clears all counters.
func (r *rig) forget(h *line[order, heard]) error {
	if _, err := h.ask(order{Do: "ledger"}); err != nil {
		return err
	}
	if _, err := r.near.ask(order{Do: "asked"}); err != nil {
		return err
	}
	if r.link != nil {
		_, err := r.link.ask(linkOrder{OneWay: -1})
		return err
	}
	return nil
}

func (r *rig) sum(all []delivered, cpu time.Duration, c testCase) (round, error) {
	var s round
	n := float64(len(all))
	asked, err := r.near.ask(order{Do: "asked"})
	if err != nil {
		return s, err
	}
	s.questions = float64(asked.N) / n
	if r.link != nil {
		passed, err := r.link.ask(linkOrder{OneWay: -1})
		if err != nil {
			return s, err
		}
		s.flights = float64(passed.Flights) / n
	}
	var total time.Duration
	for _, d := range all {
		s.took = append(s.took, d.took)
		total += d.took
	}
	slices.Sort(s.took)
	// What is always under way, over how long each takes (Little's law): so the
	// start and the end of a round, where less is under way, do not count.
	s.rate = float64(c.inFlight) * n / total.Seconds()
	s.cpu = cpu.Seconds() * 1000 / n
	return s, nil
}

// compare holds what was reported against the server's ledger.
func (r *rig) compare(h *line[order, heard], p program, c testCase, all []delivered) error {
	l, err := h.ask(order{Do: "ledger"})
	if err != nil {
		return err
	}
	for _, w := range audit(all, l.Messages, c.mode, p.other) {
		r.wrong = append(r.wrong, fmt.Sprintf("%s, %v: %s", p.name, c, w))
	}
	return nil
}

// audit says what is wrong: messages lost or doubled, or not accepted though the
// server takes everything, or sent otherwise than they should.
func audit(all []delivered, ledger []letter, m mode, other bool) []string {
	arrived := map[string]int{}
	var wrong []string
	for _, l := range ledger {
		arrived[l.From]++
		if l.TLS != m.TLS {
			wrong = append(wrong, fmt.Sprintf("%s: TLS is %v", l.From, l.TLS))
		}
	}
	for _, d := range all {
		n := arrived[d.sender]
		delete(arrived, d.sender)
		switch {
		case d.accepted() && n == 0:
			wrong = append(wrong, d.sender+": LOST: accepted, and not in the ledger")
		case n > 1:
			wrong = append(wrong, fmt.Sprintf("%s: DOUBLED: %d times in the ledger", d.sender, n))
		case !d.accepted():
			wrong = append(wrong, fmt.Sprintf("%s: not accepted (%d in the ledger): %q, %v", d.sender, n, d.report, d.err))
		case m.DANE && !other && !bytes.Contains(d.report, []byte("verified=dane")):
			wrong = append(wrong, fmt.Sprintf("%s: not verified: %q", d.sender, d.report))
		}
	}
	for from := range arrived {
		wrong = append(wrong, from+": in the ledger, and nobody sent it")
	}
	return wrong
}

// cpuOfChildren is the time of all children waited for, and of theirs.
func cpuOfChildren() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_CHILDREN, &u); err != nil {
		panic("deliveries: getrusage: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// reapOrphans waits for processes whose parent ended before them; they became
// ours, see newRig. All children of our own but the servers, which have not
// ended, are waited for by now.
func reapOrphans() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			return
		}
	}
}
