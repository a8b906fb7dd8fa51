package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"postrider/internal/observe/state"
)

// line is one line of what is shown: printable ASCII and, perhaps, a colour.
type line struct{ text, colour string }

// What terminals call colours (ECMA-48 §8.3.117).
const (
	plain  = "\x1b[0m"
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
)

// maxName is how much of a host's name has room.
const maxName = 40

// table shows s; what changed since last, if there was one, makes the rate.
func table(s, last *state.State) []line {
	lines := summary(s, last)
	lines = append(lines, destinations(s)...)
	lines = append(lines, slots(s)...)
	return append(lines, peers(s)...)
}

func summary(s, last *state.State) []line {
	d, c, dns := s.Deliveries, s.Connections, s.Caches.DNS
	rate := ""
	if last != nil && last.PID == s.PID && s.Time.After(last.Time) {
		rate = fmt.Sprintf(", %.1f a second", float64(ended(s)-ended(last))/s.Time.Sub(last.Time).Seconds())
	}
	known := ""
	if all := dns.Hits + dns.Misses + dns.Shared; all > 0 {
		known = fmt.Sprintf(", %d%% of look-ups known", dns.Hits*100/all)
	}
	lines := []line{
		{fmt.Sprintf("engine       process %d, up %s", s.PID, span(s.Time.Sub(s.Started))), bold},
		{text: fmt.Sprintf("deliveries   %d delivered, %d deferred, %d bounced%s", d.Delivered, d.Deferred, d.Bounced, rate)},
		{text: fmt.Sprintf("slots        %d of %d busy, %d groups open", s.Slots.Busy, s.Slots.Limit, s.Slots.Groups)},
		{text: fmt.Sprintf("connections  %d made, %d failed, %d reused, %d idle", c.Made, c.Failed, c.Reused, c.Idle)},
		{text: fmt.Sprintf("dns cache    %d entries, %d KB%s", dns.Entries, (dns.Bytes+1023)/1024, known)},
	}
	if t := troubles(d.Causes); t != "" {
		lines = append(lines, line{text: "trouble      " + t})
	}
	return lines
}

func ended(s *state.State) uint64 {
	return s.Deliveries.Delivered + s.Deliveries.Deferred + s.Deliveries.Bounced
}

// troubles names the most frequent causes of what was not delivered.
func troubles(causes map[string]uint64) string {
	var names []string
	for name := range causes {
		if name != "accepted" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(causes[b], causes[a]), cmp.Compare(a, b)) })
	for i, name := range names {
		names[i] = fmt.Sprint(causes[name], " ", name)
	}
	return strings.Join(names[:min(len(names), 5)], ", ")
}

func destinations(s *state.State) []line {
	d := s.Destinations
	g := grid{left: 1, rows: []row{{cells: []string{"DESTINATION", "RUNNING", "WAITING", "WINDOW", ""}, colour: bold}}}
	for _, one := range d.Busiest {
		r := row{cells: []string{short(one.Name), strconv.Itoa(one.Running), strconv.Itoa(one.Waiting), strconv.Itoa(one.Window), ""}}
		switch {
		case one.Broken != nil:
			r.colour = red
			r.cells[4] = "silent for " + span(s.Time.Sub(*one.Broken))
			if one.Probe != nil && one.Probe.After(s.Time) {
				r.cells[4] += ", tried in " + span(one.Probe.Sub(s.Time))
			}
		case one.Waiting > 0:
			r.colour = yellow
		}
		g.rows = append(g.rows, r)
	}
	return g.lines(d.Known - len(d.Busiest))
}

func slots(s *state.State) []line {
	g := grid{left: 3, rows: []row{{cells: []string{"HOST", "MESSAGE", "PHASE", "SLOT", "FOR"}, colour: bold}}}
	open := slices.SortedFunc(slices.Values(s.Slots.Open), func(a, b state.Slot) int { return cmp.Compare(b.Seconds, a.Seconds) })
	for _, o := range open {
		g.rows = append(g.rows, row{cells: []string{short(o.Host), o.Message, o.Phase, strconv.Itoa(int(o.Number)), span(time.Duration(o.Seconds * float64(time.Second)))}})
	}
	return g.lines(0)
}

func peers(s *state.State) []line {
	g := grid{left: 1, rows: []row{{cells: []string{"CONNECTED TO", "IDLE"}, colour: bold}}}
	shown := 0
	for _, p := range s.Connections.Peers {
		g.rows = append(g.rows, row{cells: []string{p.Address, strconv.Itoa(p.Idle)}})
		shown += p.Idle
	}
	return g.lines(s.Connections.Idle - shown)
}

// grid is cells in columns, the first left of them flush left, the last column
// ragged if its title is empty, and all others flush right. Its first row is
// titles.
type grid struct {
	left int
	rows []row
}

type row struct {
	cells  []string
	colour string
}

// lines is the grid with a blank line before it, or nothing if it is empty;
// more is how much was left out.
func (g *grid) lines(more int) []line {
	if len(g.rows) == 1 {
		return nil
	}
	var widths [8]int
	for _, r := range g.rows {
		for i, cell := range r.cells {
			widths[i] = max(widths[i], len(cell))
		}
	}
	lines := []line{{}}
	for _, r := range g.rows {
		var b strings.Builder
		for i, cell := range r.cells {
			pad := strings.Repeat(" ", widths[i]-len(cell))
			switch {
			case g.rows[0].cells[i] == "":
				pad = ""
			case i < g.left:
				cell, pad = cell+pad, ""
			}
			b.WriteString(pad + cell + "  ")
		}
		lines = append(lines, line{strings.TrimRight(b.String(), " "), r.colour})
	}
	if more > 0 {
		lines = append(lines, line{text: fmt.Sprintf("and %d more", more)})
	}
	return lines
}

func short(name string) string {
	if len(name) > maxName {
		return name[:maxName-2] + ".."
	}
	return name
}

// span is a duration for people, to the second.
func span(d time.Duration) string {
	d = max(d, 0)
	if d >= 48*time.Hour {
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
	return d.Truncate(time.Second).String()
}
