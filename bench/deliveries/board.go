package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// board collects what is printed at the end.
type board struct {
	head   strings.Builder
	idle   strings.Builder
	cases  strings.Builder
	big    strings.Builder
	legend string
}

func (b *board) heading(r *rig) {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(&b.head, "%s, Linux %s, %d CPUs, load %s at the start\n", runtime.Version(),
		strings.TrimSpace(string(kernel)), runtime.NumCPU(), strings.Join(strings.Fields(string(load))[:3], " "))
	for _, p := range r.programs {
		fmt.Fprintf(&b.head, "%s: %s\n", p.name, p.from)
	}
	switch {
	case r.why == "":
		b.head.WriteString("Latency: true packet delay, each packet relayed between two network namespaces.\n")
	default:
		fmt.Fprintf(&b.head, "Latency: the server answers late, handshakes are NOT delayed (no relay: %s).\n", r.why)
	}
	fmt.Fprintf(&b.head, "Messages of %d bytes; DNS answers after %v where there is a round-trip time; medians of %d rounds.\n", r.o.size, r.o.dns, r.o.rounds)
	b.legend = `/s: deliveries a second.  CPU: ms of user and system time for each, with all helper processes.  least: the time no
client can beat: round trips of the protocol, and DNS.  trips: round trips to the server that were really made, per delivery.  DNS: questions
per delivery.  PSS: kB of a delivery in flight, all its processes (procs) together, while the server holds the last answer back.
×: in proportion to ours, the median over pairs of rounds.  ×empty: in proportion to a Go program that does nothing, as many at once, in the
same round.  ×linked: to one that does nothing either, but carries net and crypto/tls.
`
}

func (b *board) idlers(all []*idler) {
	t := tabwriter.NewWriter(&b.idle, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "process start to end\tCPU ms\twall ms\t")
	for _, d := range all {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t\n", d.name, median(d.cpu), median(d.wall))
	}
	t.Flush()
}

// deliveries adds the lines of one case.
func (b *board) deliveries(r *rig, results []*result) {
	t := &b.cases
	if t.Len() == 0 {
		fmt.Fprintln(t, "mode\trtt\tin flight\tprogram\tn\t/s\t×\tCPU ms\t×\t×empty\t×linked\tp50 ms\tp99 ms\tleast ms\tp50/least\ttrips\tDNS\tPSS kB\tprocs\t")
	}
	for _, res := range results {
		rate := func(s round) float64 { return s.rate }
		cpu := func(s round) float64 { return s.cpu }
		p50 := func(s round) float64 { return milli(quantile(s.took, 0.5)) }
		var took []time.Duration
		for _, s := range res.rounds {
			took = append(took, s.took...)
		}
		slices.Sort(took)
		least, over, trips := "-", "-", "-"
		starts := []string{"-", "-"}
		if l := milli(res.least(r.why == "", r.o.dns, r.questions())); l > 0 {
			least, over = fmt.Sprintf("%.0f", l), fmt.Sprintf("%.2f", res.each(p50)/l)
		}
		if f := res.each(func(s round) float64 { return s.flights }); f > 0 {
			trips = fmt.Sprintf("%.2f", f)
		}
		for i := range res.rounds[0].starts {
			starts[i] = fmt.Sprintf("%.2f", res.each(func(s round) float64 { return s.cpu / s.starts[i] }))
		}
		fmt.Fprintf(t, "%v\t%v\t%d\t%s\t%d\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t%s\t%.1f\t%.1f\t%s\t%s\t%s\t%.1f\t%.0f\t%.0f\t\n",
			res.mode, res.rtt, res.inFlight, res.name, len(took),
			res.each(rate), res.against(results[0], rate), res.each(cpu), res.against(results[0], cpu), starts[0], starts[1],
			res.each(p50), milli(quantile(took, 0.99)), least, over, trips,
			res.each(func(s round) float64 { return s.questions }), res.pss, res.processes)
	}
}

// each is the median of a value over the rounds.
func (res *result) each(of func(round) float64) float64 {
	var v []float64
	for _, s := range res.rounds {
		v = append(v, of(s))
	}
	return median(v)
}

// against is the median of the proportions to the same round of another.
func (res *result) against(first *result, of func(round) float64) float64 {
	var v []float64
	for i, s := range res.rounds {
		v = append(v, of(s)/of(first.rounds[i]))
	}
	return median(v)
}

func (b *board) haulers(megabytes int, all []*hauler) {
	t := tabwriter.NewWriter(&b.big, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "one message of %d MB\trtt\tms\tleast ms\tMB/s\tpeak kB\t\n", megabytes)
	for _, h := range all {
		ms, least := h.typical(), "-"
		if h.bare != nil {
			least = fmt.Sprintf("%.1f", h.bare.typical()+milli(h.extra))
		}
		fmt.Fprintf(t, "%s\t%v\t%.1f\t%s\t%.1f\t%d\t\n", h.name, h.rtt, ms, least, float64(megabytes<<20)/1000/ms, h.peak)
	}
	t.Flush()
}

// typical is the median of a message's time, in milliseconds.
func (h *hauler) typical() float64 {
	var v []float64
	for _, d := range h.took {
		v = append(v, milli(d))
	}
	return median(v)
}

func milli(d time.Duration) float64 { return d.Seconds() * 1000 }

func (b *board) print(w io.Writer) {
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Fprintf(w, "\n%s%s at the end\n\n", b.head.String(), "Load "+strings.Join(strings.Fields(string(load))[:3], " "))
	if b.idle.Len() > 0 {
		fmt.Fprintln(w, b.idle.String())
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	io.WriteString(t, b.cases.String())
	t.Flush()
	fmt.Fprintf(w, "%s\n%s", b.legend, b.big.String())
}
