package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// unit is a qmail-rspawn under way, and we are its qmail-send.
type unit struct {
	home  string
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	limit int
}

// start starts a qmail-rspawn for the home.
func start(path, home string, env ...string) (*unit, error) {
	cmd := exec.Command(path)
	cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "DNSCACHEIP="+os.Getenv("DNSCACHEIP"))
	return begin(cmd, home)
}

// begin is start for what takes orders as qmail-rspawn does.
func begin(cmd *exec.Cmd, home string) (*unit, error) {
	u := &unit{home: home, cmd: cmd}
	u.cmd.Env = append(u.cmd.Env, "QMAILHOME="+home)
	var err error
	if u.in, err = u.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := u.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := u.cmd.Start(); err != nil {
		return nil, err
	}
	u.out = bufio.NewReader(out)
	limit, err := u.out.ReadByte()
	u.limit = int(limit)
	return u, err
}

// end ends it, and gives the CPU time of all its processes.
func (u *unit) end() (time.Duration, error) {
	u.in.Close()
	err := u.cmd.Wait()
	r := u.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), err
}

// job is one delivery.
type job struct {
	message int // below queue/mess/0
	rcpt    string
}

// deliver keeps inflight jobs under way until all have been accepted, and gives
// how long each took, sorted, and all together.
func (u *unit) deliver(jobs []job, inflight int) (took []time.Duration, all time.Duration, err error) {
	slots := min(inflight, u.limit, len(jobs))
	begun := make([]time.Time, slots)
	next := 0
	order := func(slot byte) error {
		next++
		begun[slot] = time.Now()
		return u.order(slot, jobs[next-1])
	}
	start := time.Now()
	for slot := range slots {
		if err := order(byte(slot)); err != nil {
			return nil, 0, err
		}
	}
	var failed error
	err = u.reports(len(jobs), func(slot byte, _ int) {
		took = append(took, time.Since(begun[slot]))
		if next < len(jobs) && failed == nil {
			failed = order(slot)
		}
	})
	if err = cmp.Or(failed, err); err != nil {
		return nil, 0, err
	}
	all = time.Since(start)
	slices.Sort(took)
	return took, all, nil
}

// flow is how a stream of deliveries went, without its beginning.
type flow struct {
	took  []time.Duration // sorted
	under float64         // way at a time, on average
}

// stream begins a job every gap, as long as there are free slots, and gives how
// those went that ended after the first skip.
func (u *unit) stream(jobs []job, skip int, gap time.Duration) (f flow, err error) {
	free := make(chan byte, u.limit)
	for slot := range u.limit {
		free <- byte(slot)
	}
	begun := make([]atomic.Int64, u.limit) // since start; the reader has those that are answered
	start, done := time.Now(), make(chan error, 1)
	go func() {
		done <- u.reports(len(jobs), func(slot byte, at int) {
			took := time.Since(start) - time.Duration(begun[slot].Load())
			if at >= skip {
				f.took = append(f.took, took)
			}
			free <- slot
		})
	}()
	for i, j := range jobs {
		time.Sleep(time.Until(start.Add(time.Duration(i) * gap)))
		var slot byte
		select {
		case slot = <-free:
		case err := <-done:
			return f, cmp.Or(err, io.ErrUnexpectedEOF)
		}
		begun[slot].Store(int64(time.Since(start)))
		if err := u.order(slot, j); err != nil {
			return f, err
		}
	}
	all := time.Since(start)
	err = <-done
	sum := time.Duration(0)
	for _, took := range f.took {
		sum += took
	}
	f.under = float64(sum) / float64(len(f.took)) * float64(len(jobs)) / float64(all)
	slices.Sort(f.took)
	return f, err
}

// reports gives do the slots of n reports of success, as they come.
func (u *unit) reports(n int, do func(slot byte, at int)) error {
	for at := range n {
		slot, err := u.out.ReadByte()
		if err != nil {
			return err
		}
		line, err := u.out.ReadString(0)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, "K") {
			return fmt.Errorf("a delivery was not accepted: %q", line)
		}
		do(slot, at)
	}
	return nil
}

// order gives the unit a job.
func (u *unit) order(slot byte, j job) error {
	_, err := u.in.Write(append([]byte{slot}, fmt.Sprintf("0/%d\x00me@bench.example\x00%s\x00", j.message, j.rcpt)...))
	return err
}

// makeHome makes a qmail home with so many messages.
func makeHome(o options, messages int, control map[string]string) (home string, err error) {
	if home, err = os.MkdirTemp("", "postrider-bench-"); err != nil {
		return "", err
	}
	for _, d := range []string{"control", "queue/mess/0", "queue/lock", "run/qmail-remote"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			return home, err
		}
	}
	files := map[string]string{
		"control/me": "bench.example\n", "control/concurrencyremote": "255\n",
		"control/concurrencyperhost": fmt.Sprintln(o.perhost),
		"queue/lock/tcpto":           strings.Repeat("\x00", 1024),
	}
	for name, text := range control {
		files["control/"+name] = text
	}
	body := "Subject: bench\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", max(o.size-16, 72)/72)
	for i := range messages {
		files[fmt.Sprint("queue/mess/0/", i+1)] = body
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o644); err != nil {
			return home, err
		}
	}
	return home, nil
}
