// Rspawn measures deliveries through qmail-rspawn's own protocol: in its engine,
// and by a process for each, side by side in one run.
//
//	rspawn [-rspawn bin/qmail-rspawn] [-remote bin/qmail-remote] [-n N] [-inflight N]
//	       [-domains N] [-rcpts N] [-size BYTES] [-rounds N]
//
// It prints deliveries a second, CPU time a delivery (all processes of the unit,
// the server's not) and connections, as medians of interleaved rounds, and the
// ratio. It exits 1 if a delivery was not accepted or the server's ledger does
// not agree.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"postrider/internal/sink"
)

type options struct {
	rspawn, remote                            string
	n, inflight, domains, rcpts, size, rounds int
	alone                                     bool
}

// figures are what one round gave.
type figures struct {
	rate     float64 // deliveries a second
	cpu      time.Duration
	sessions int64
	messages int64
}

func main() {
	var o options
	flag.StringVar(&o.rspawn, "rspawn", "bin/qmail-rspawn", "the qmail-rspawn to measure")
	flag.StringVar(&o.remote, "remote", "bin/qmail-remote", "the qmail-remote that it runs for comparison")
	flag.IntVar(&o.n, "n", 2000, "deliveries a round")
	flag.IntVar(&o.inflight, "inflight", 100, "deliveries at a time, 255 at most")
	flag.IntVar(&o.domains, "domains", 50, "destinations")
	flag.IntVar(&o.rcpts, "rcpts", 1, "recipients a message, all at one destination")
	flag.IntVar(&o.size, "size", 4096, "bytes a message")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds of each")
	flag.BoolVar(&o.alone, "alone", false, "measure the engine alone")
	flag.Parse()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "rspawn:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	var engine, process []figures
	for i := range o.rounds {
		for _, by := range []*[]figures{&engine, &process} {
			if o.alone && by == &process {
				continue
			}
			env, name := []string(nil), "engine"
			if by == &process {
				remote, err := filepath.Abs(o.remote)
				if err != nil {
					return err
				}
				env, name = []string{"QMAILREMOTE=" + remote}, "process"
			}
			f, err := round(o, env)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", name, i+1, err)
			}
			fmt.Fprintf(os.Stderr, "round %d, %s: %.0f/s, %v CPU, %d connections\n", i+1, name, f.rate, f.cpu, f.sessions)
			*by = append(*by, f)
		}
	}
	e := median(engine)
	fmt.Printf("%d in flight, %d destinations, %d recipients a message, %d bytes, in clear, loopback, medians of %d rounds\n", o.inflight, o.domains, o.rcpts, o.size, o.rounds)
	fmt.Printf("%-22s %12s %14s %12s %12s\n", "", "deliveries/s", "CPU/delivery", "connections", "transactions")
	fmt.Printf("%-22s %12.0f %14v %12d %12d\n", "engine", e.rate, e.cpu, e.sessions, e.messages)
	if o.alone {
		return nil
	}
	p := median(process)
	fmt.Printf("%-22s %12.0f %14v %12d %12d\n", "process a delivery", p.rate, p.cpu, p.sessions, p.messages)
	fmt.Printf("%-22s %12.1f %14.3f\n", "ratio", e.rate/p.rate, float64(e.cpu)/float64(p.cpu))
	return nil
}

func median(fs []figures) figures {
	slices.SortFunc(fs, func(a, b figures) int { return int(a.rate - b.rate) })
	return fs[len(fs)/2]
}

// round makes a home, a server and a qmail-rspawn, and runs o.n deliveries.
func round(o options, env []string) (f figures, err error) {
	home, err := os.MkdirTemp("", "postrider-bench-")
	if err != nil {
		return f, err
	}
	defer os.RemoveAll(home)
	var rcpts atomic.Int64
	var servers []*sink.Server
	var routes strings.Builder
	for i := range o.domains { // each destination has an address of its own
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.1.%d:0", i%250+1))
		if err != nil {
			return f, err
		}
		s := sink.Serve(l, sink.Config{Took: func(m sink.Message) { rcpts.Add(int64(len(m.To))) }})
		defer s.Close()
		servers = append(servers, s)
		a := l.Addr().(*net.TCPAddr)
		fmt.Fprintf(&routes, "d%d.example:[%v]:%d\n", i, a.IP, a.Port)
	}
	if err := makeHome(home, o, routes.String()); err != nil {
		return f, err
	}
	cmd := exec.Command(o.rspawn)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "QMAILHOME=" + home}, env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return f, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return f, err
	}
	if err := cmd.Start(); err != nil {
		return f, err
	}
	took, err := drive(o, in.Write, bufio.NewReader(out))
	in.Close()
	if werr := cmd.Wait(); err == nil {
		err = werr
	}
	if err == nil && rcpts.Load() != int64(o.n) {
		err = fmt.Errorf("%d deliveries were reported as accepted, and the server took %d", o.n, rcpts.Load())
	}
	u := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	cpu := time.Duration(u.Utime.Nano() + u.Stime.Nano())
	f = figures{rate: float64(o.n) / took.Seconds(), cpu: cpu / time.Duration(o.n)}
	for _, s := range servers {
		f.sessions += s.Sessions.Load()
		f.messages += s.Taken.Load()
	}
	return f, err
}

// drive keeps o.inflight deliveries under way until o.n have been accepted.
func drive(o options, write func([]byte) (int, error), out *bufio.Reader) (time.Duration, error) {
	limit, err := out.ReadByte()
	if err != nil {
		return 0, err
	}
	slots := min(o.inflight, int(limit))
	begun := time.Now()
	next := 0
	start := func(slot byte) error {
		message, rcpt := next/o.rcpts, next%o.rcpts
		next++
		frame := fmt.Sprintf("%c0/%d\x00me@bench.example\x00r%d@d%d.example\x00", 0, message%o.inflight+1, rcpt, message%o.domains)
		b := append([]byte{slot}, frame[1:]...)
		_, err := write(b)
		return err
	}
	for slot := range min(slots, o.n) {
		if err := start(byte(slot)); err != nil {
			return 0, err
		}
	}
	for range o.n {
		slot, err := out.ReadByte()
		if err != nil {
			return 0, err
		}
		line, err := out.ReadString(0)
		if err != nil {
			return 0, err
		}
		if !strings.HasPrefix(line, "K") {
			return 0, fmt.Errorf("a delivery was not accepted: %q", line)
		}
		if next < o.n {
			if err := start(slot); err != nil {
				return 0, err
			}
		}
	}
	return time.Since(begun), nil
}

func makeHome(home string, o options, routes string) error {
	for _, d := range []string{"control", "queue/mess/0", "queue/lock", "run/qmail-remote"} {
		if err := os.MkdirAll(filepath.Join(home, d), 0o755); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{
		"me": "bench.example\n", "smtproutes": routes, "concurrencyremote": "255\n", "concurrencyperhost": "255\n",
	} {
		if err := os.WriteFile(filepath.Join(home, "control", name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	body := "Subject: bench\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", max(o.size-16, 72)/72)
	for i := range o.inflight {
		if err := os.WriteFile(filepath.Join(home, "queue/mess/0", fmt.Sprint(i+1)), []byte(body), 0o644); err != nil {
			return err
		}
	}
	return nil
}
