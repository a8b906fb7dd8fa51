package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// memory is what processes in flight occupy, in kB.
type memory struct {
	pss       float64 // of one delivery, all its processes together
	processes float64
	peak      int // the largest resident set, ever, of any one process
}

// hold runs inFlight deliveries of a message up to the moment when the server has
// it and has not said so, and looks at their memory then.
func (r *rig) hold(h *line[order, heard], p program, c testCase, message string) (memory, error) {
	if err := r.forget(h); err != nil {
		return memory{}, err
	}
	if _, err := h.ask(order{Do: "hold"}); err != nil {
		return memory{}, err
	}
	env := r.environment(p)
	all := make([]delivered, c.inFlight)
	var mu sync.Mutex
	var pids []int
	var workers sync.WaitGroup
	for i := range all {
		number := r.next
		r.next++
		workers.Go(func() {
			all[i] = r.deliver(p, env, message, number, func(pid int) {
				mu.Lock()
				pids = append(pids, pid)
				mu.Unlock()
			})
		})
	}
	err := waitHeld(h, c.inFlight)
	var m memory
	if err == nil {
		m, err = weigh(pids)
	}
	if _, e := h.ask(order{Do: "release"}); e != nil {
		return m, e // the others would wait for ever
	}
	workers.Wait()
	reapOrphans()
	if err != nil {
		return m, err
	}
	return m, r.compare(h, p, c, all)
}

// waitHeld waits until n messages are held.
func waitHeld(h *line[order, heard], n int) error {
	for begin := time.Now(); ; {
		got, err := h.ask(order{Do: "held"})
		if err != nil || got.N == n {
			return err
		}
		if time.Since(begin) > patience/2 {
			return fmt.Errorf("only %d of %d messages came to be held", got.N, n)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// weigh sums up the memory of the processes pids and all their descendants.
func weigh(pids []int) (memory, error) {
	children, err := processTree()
	if err != nil {
		return memory{}, err
	}
	var m memory
	todo := slices.Clone(pids)
	for len(todo) > 0 {
		pid := strconv.Itoa(todo[0])
		todo = append(todo[1:], children[todo[0]]...)
		pss, err := kilobytes("/proc/"+pid+"/smaps_rollup", "Pss:")
		if err != nil {
			return m, err
		}
		peak, err := kilobytes("/proc/"+pid+"/status", "VmHWM:")
		if err != nil {
			return m, err
		}
		m.pss += float64(pss)
		m.processes++
		m.peak = max(m.peak, peak)
	}
	m.pss /= float64(len(pids))
	m.processes /= float64(len(pids))
	return m, nil
}

// processTree lists the children of all processes that can be seen.
func processTree() (map[int][]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	tree := map[int][]int{}
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + d.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// After the name, which is in parentheses and may hold anything: state, parent.
		_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
		fields := strings.Fields(rest)
		if len(fields) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(fields[1]); err == nil {
			tree[parent] = append(tree[parent], pid)
		}
	}
	return tree, nil
}

// kilobytes reads one line of a file such as /proc/PID/status.
func kilobytes(file, key string) (int, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			return strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}
