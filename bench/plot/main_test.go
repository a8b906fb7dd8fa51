package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPictures(t *testing.T) {
	dir := t.TempDir()
	data := "throughput in clear\tengine\t1\t100\nthroughput in clear\tengine\t20\t9000\nthroughput in clear\tother\t1\t20\nlatency a, b\tcold\t20\t1.1\nthroughput in clear\tengine\t1\t900\n"
	file := filepath.Join(dir, "data")
	if err := os.WriteFile(file, []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run(file, dir); err != nil {
		t.Fatal(err)
	}
	for name, words := range map[string][]string{"throughput-in-clear.svg": {"engine", "other", "in flight"}, "latency-a-b.svg": {"cold", "least"}} {
		svg, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range words {
			if !strings.Contains(string(svg), w) {
				t.Errorf("%s: no %q", name, w)
			}
		}
	}
}

func TestRead(t *testing.T) {
	cases, err := read(strings.NewReader("a\tb\t1\t2\na\tb\t1\t3\n"))
	if err != nil || len(cases) != 1 || cases["a"]["b"][1] != 3 {
		t.Errorf("%v, %v", cases, err)
	}
	for _, wrong := range []string{"a\tb\t1\n", "a\tb\tx\t1\n", "a\tb\t1\tx\n"} {
		if _, err := read(strings.NewReader(wrong)); err == nil {
			t.Errorf("%q is read", wrong)
		}
	}
}
