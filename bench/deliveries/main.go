// Deliveries measures whole deliveries: one process of qmail-remote for each,
// as qmail-rspawn starts them, to a server that takes everything.
//
//	go run ./bench/deliveries [-unit PROGRAM] [-also BUILD,…] [-vs PROGRAM,…] [flags]
//
// It makes a network of its own, which needs root or user namespaces: the
// programs under test, and their resolver, in one namespace; the server in
// another; between them a relay that forwards each packet after a fixed delay.
// So handshakes, slow start and acknowledgements take the time that they take in
// the world. Where that cannot be had, the server answers late instead, and the
// output says so.
//
// Every delivery has a sender of its own, and the server keeps a ledger: the
// program exits 1 when a message that was reported as accepted did not arrive
// there exactly once, or when anything was not accepted.
//
// Programs are compared in turns (A B A B), and the tables give medians over the
// rounds. All lines of raw results go to stderr as they come.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"postrider/bench/role"
)

// options are the flags.
type options struct {
	unit, also  string
	vs, vsHome  string
	modes, rtts string
	inFlight    string
	rounds      int
	round       time.Duration
	size        int
	dns         time.Duration
	mx          int
	big         int
	baseline    string
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("deliveries", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "usage: deliveries [flags]\nRuns whole deliveries, one process each, and prints what they cost.")
		f.PrintDefaults()
	}
	f.StringVar(&o.unit, "unit", "bin/qmail-remote", "the `program` under test; its helpers stand beside it")
	f.StringVar(&o.also, "also", "", "other `builds` of it, with commas between; each may have settings before it: \"GOGC=off bin/qmail-remote\"")
	f.StringVar(&o.vs, "vs", "", "`programs` of other projects to compare with, with commas between; they run in clear only")
	f.StringVar(&o.vsHome, "vshome", "/var/qmail", "the `directory` that those have compiled in; the bench's own home is mounted there, for them alone")
	f.StringVar(&o.modes, "mode", "clear,tls,dane", "clear, tls and dane, each maybe with +chunking or +lockstep after it")
	f.StringVar(&o.rtts, "rtt", "0,40ms", "round-trip times; 0 is loopback without a relay, and DNS at once")
	f.StringVar(&o.inFlight, "inflight", "1,20,100", "how many deliveries are under way at once")
	f.IntVar(&o.rounds, "rounds", 5, "rounds for each case and program")
	f.DurationVar(&o.round, "round", 800*time.Millisecond, "deliveries are started for so long in each round")
	f.IntVar(&o.size, "size", 4096, "`bytes` of a message")
	f.DurationVar(&o.dns, "dns", 20*time.Millisecond, "time that the resolver takes for each answer, where there is a round-trip time")
	f.IntVar(&o.mx, "mx", 1, "exchangers of the destination, all with the same preference but the first")
	f.IntVar(&o.big, "big", 10, "`megabytes` of one large message; 0 for none")
	f.StringVar(&o.baseline, "baseline", "bench/baseline", "`directory` of Go programs that do nothing, built and run for comparison; empty for none")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("what is %q?", f.Arg(0))
	}
	return o, nil
}

func main() {
	if status, played := role.Play("deliveries", roles); played {
		os.Exit(status)
	}
	o, err := parse(os.Args[1:])
	if err == flag.ErrHelp {
		os.Exit(0)
	}
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deliveries:", err)
		os.Exit(1)
	}
}

// run measures everything that o asks for. Its error is either that something
// could not be measured or that mail was lost.
func run(o options) error {
	plan, err := planOf(o)
	if err != nil {
		return err
	}
	rig, err := newRig(o)
	if err != nil {
		return err
	}
	defer rig.close()
	var b board
	b.heading(rig)
	if err := rig.all(&b, o, plan); err != nil {
		return errors.Join(err, rig.verdict())
	}
	b.print(os.Stdout)
	return rig.verdict()
}

// all measures, in the order of the tables.
func (r *rig) all(b *board, o options, plan []testCase) error {
	if err := r.doNothing(b); err != nil {
		return err
	}
	for _, c := range plan {
		if err := r.measure(b, c); err != nil {
			return fmt.Errorf("%v: %w", c, err)
		}
	}
	if o.big > 0 {
		return r.measureBig(b, o)
	}
	return nil
}

// verdict is an error when any delivery went wrong, and tells of the first ones.
func (r *rig) verdict() error {
	n := len(r.wrong)
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d deliveries went WRONG:\n%s", n, strings.Join(r.wrong[:min(n, 10)], "\n"))
}
