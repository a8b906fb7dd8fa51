package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAudit(t *testing.T) {
	good := func(sender string) delivered { return delivered{sender: sender, report: []byte("r\x00K1.2.3.4\n\x00")} }
	for name, c := range map[string]struct {
		all    []delivered
		ledger []letter
		mode   mode
		want   string // the start of the one complaint; empty: none
	}{
		"all is well":               {[]delivered{good("a"), good("b")}, []letter{{"b", false}, {"a", false}}, mode{}, ""},
		"lost":                      {[]delivered{good("a"), good("b")}, []letter{{"a", false}}, mode{}, "b: LOST"},
		"doubled":                   {[]delivered{good("a")}, []letter{{"a", false}, {"a", false}}, mode{}, "a: DOUBLED"},
		"deferred":                  {[]delivered{{sender: "a", report: []byte("Zno\n\x00")}}, nil, mode{}, "a: not accepted (0"},
		"deferred though it went":   {[]delivered{{sender: "a", report: []byte("Zno\n\x00")}}, []letter{{"a", false}}, mode{}, "a: not accepted (1"},
		"recipient refused, yet K":  {[]delivered{{sender: "a", report: []byte("h\x00K\n\x00")}}, nil, mode{}, "a: not accepted"},
		"from nobody":               {nil, []letter{{"a", false}}, mode{}, "a: in the ledger"},
		"in clear, and should not":  {[]delivered{good("a")}, []letter{{"a", false}}, mode{TLS: true}, "a: TLS is false"},
		"DANE that did not verify":  {[]delivered{good("a")}, []letter{{"a", true}}, mode{TLS: true, DANE: true}, "a: not verified"},
		"opportunistic verifies no": {[]delivered{good("a")}, []letter{{"a", true}}, mode{TLS: true}, ""},
	} {
		got := audit(c.all, c.ledger, c.mode, false)
		switch {
		case c.want == "" && len(got) > 0, c.want != "" && len(got) != 1:
			t.Errorf("%s: %q", name, got)
		case c.want != "" && !strings.HasPrefix(got[0], c.want):
			t.Errorf("%s: %q, want %q…", name, got, c.want)
		}
	}
}

func TestModes(t *testing.T) {
	for s, want := range map[string]int{ // round trips across packets
		"clear": 5, "clear+chunking": 4, "clear+lockstep": 7, "tls": 8, "tls+chunking": 7, "dane": 8,
	} {
		m, err := parseMode(s)
		if err != nil || m.String() != s || m.exchanges(true) != want {
			t.Errorf("%s: %v, %v, %d round trips; want %d", s, m, err, m.exchanges(true), want)
		}
	}
	for _, s := range []string{"", "ssl", "tls+", "+chunking", "clear+tls"} {
		if m, err := parseMode(s); err == nil {
			t.Errorf("%q is %v", s, m)
		}
	}
	c := testCase{mode{}, 40 * time.Millisecond, 1}
	if got := c.least(true, 20*time.Millisecond, 2); got != 240*time.Millisecond {
		t.Errorf("least = %v", got)
	}
}

func TestPlan(t *testing.T) {
	o, err := parse([]string{"-mode", "clear,tls", "-rtt", "0,40ms", "-inflight", "1,20"})
	if err != nil {
		t.Fatal(err)
	}
	plan, err := planOf(o)
	if err != nil || len(plan) != 8 || plan[0] != (testCase{inFlight: 1}) {
		t.Errorf("%v, %v", plan, err)
	}
	for _, args := range [][]string{{"-inflight", "0"}, {"-inflight", "x"}, {"-rtt", "40"}, {"-mode", "x"}, {"-rounds", "0"}, {"-mx", "0"}} {
		if o, err := parse(args); err != nil {
			t.Errorf("%q: %v", args, err)
		} else if _, err := planOf(o); err == nil {
			t.Errorf("%q makes a plan", args)
		}
	}
	if _, err := parse([]string{"stray"}); err == nil {
		t.Error("an argument was taken")
	}
}

func TestMiddles(t *testing.T) {
	if got := median([]float64{9, 1, 2, 8}); got != 5 {
		t.Errorf("median = %v", got)
	}
	if got := median([]float64{3, 1, 2}); got != 2 {
		t.Errorf("median = %v", got)
	}
	var took []time.Duration
	for i := range 100 {
		took = append(took, time.Duration(i+1))
	}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 51, 0.99: 100, 1: 100} {
		if got := quantile(took, q); got != want {
			t.Errorf("quantile %v = %v, want %v", q, got, want)
		}
	}
}

func TestContent(t *testing.T) {
	for _, size := range []int{1, 50, 120, 4096, 100000} {
		c := content(size)
		if len(c) < size || c[len(c)-1] != '\n' {
			t.Errorf("%d bytes for %d, ends %q", len(c), size, c[len(c)-1])
		}
		long := func(line string) bool { return len(line) > 76 }
		if slices.ContainsFunc(strings.Split(string(c), "\n"), long) {
			t.Errorf("a long line in %d", size)
		}
	}
}

// The hosts talk in JSON; what they say must survive it.
func TestOrdersSurvive(t *testing.T) {
	h := &host{}
	var out strings.Builder
	in := `{"Do":"hold"}{"Do":"nonsense"}{"Do":"held"}`
	if err := serve(strings.NewReader(in), &out, h.do); err != nil {
		t.Fatal(err)
	}
	l := newLine[order, heard](nop{}, strings.NewReader(out.String()))
	for i, want := range []struct {
		heard heard
		err   string
	}{{}, {err: `no order "nonsense"`}, {}} {
		got, err := l.ask(order{})
		if !reflect.DeepEqual(got, want.heard) || (err == nil) != (want.err == "") || err != nil && err.Error() != want.err {
			t.Errorf("answer %d: %v, %v", i, got, err)
		}
	}
}

type nop struct{}

func (nop) Write(p []byte) (int, error) { return len(p), nil }
func (nop) Close() error                { return nil }
