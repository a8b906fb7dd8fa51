// Plot makes pictures of what bench/rspawn has measured.
//
//	plot FILE DIR
//
// FILE has lines "case series x y", with tabs between, as bench/rspawn -data
// appends them; of lines that differ in y alone the last counts. Each case becomes
// DIR/case.svg, its blanks hyphens, with a line for each series.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: plot FILE DIR")
		os.Exit(1)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(file, dir string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	cases, err := read(f)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	for name, all := range cases {
		p, err := picture(name, all)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		to := filepath.Join(dir, strings.ReplaceAll(strings.ReplaceAll(name, ",", ""), " ", "-")+".svg")
		if err := p.Save(16*vg.Centimeter, 10*vg.Centimeter, to); err != nil {
			return err
		}
	}
	return nil
}

// series is lines by their names, each y by x.
type series map[string]map[float64]float64

func read(r io.Reader) (map[string]series, error) {
	cases := map[string]series{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		f := strings.Split(lines.Text(), "\t")
		if len(f) != 4 {
			return nil, fmt.Errorf("line %d: %d fields", n, len(f))
		}
		x, errX := strconv.ParseFloat(f[2], 64)
		y, errY := strconv.ParseFloat(f[3], 64)
		if err := errors.Join(errX, errY); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if cases[f[0]] == nil {
			cases[f[0]] = series{}
		}
		if cases[f[0]][f[1]] == nil {
			cases[f[0]][f[1]] = map[float64]float64{}
		}
		cases[f[0]][f[1]][x] = y
	}
	return cases, lines.Err()
}

// axis is what y is of a kind of case, by its first word.
var axis = map[string]string{
	"throughput": "deliveries a second",
	"latency":    "median, as a multiple of the protocol's least",
	"memory":     "kB a delivery in flight",
}

// picture draws a case. Throughputs are far apart, so theirs has a logarithmic axis.
func picture(name string, all series) (*plot.Plot, error) {
	kind, _, _ := strings.Cut(name, " ")
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = name, "deliveries in flight", axis[kind]
	p.Legend.Top, p.Legend.Left = true, kind == "latency"
	p.Add(plotter.NewGrid())
	most := 0.0
	var lines []any
	for _, s := range slices.Sorted(maps.Keys(all)) {
		var points plotter.XYs
		for _, x := range slices.Sorted(maps.Keys(all[s])) {
			points = append(points, plotter.XY{X: x, Y: all[s][x]})
			most = max(most, all[s][x])
		}
		lines = append(lines, s, points)
	}
	if err := plotutil.AddLinePoints(p, lines...); err != nil {
		return nil, err
	}
	p.X.Min = 0
	if kind == "throughput" {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
		p.Y.Min, p.Y.Max = 10, math.Pow(10, math.Ceil(math.Log10(max(most, 1000)*2)))
	} else {
		p.Y.Min, p.Y.Max = 0, 1.4*most
	}
	return p, nil
}
