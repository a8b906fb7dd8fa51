package options

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	least := Options{Verbosity: 1, Handshake: time.Minute, SNI: 1}
	for args, change := range map[string]func(*Options){
		"prog":              func(*Options) {},
		"-- prog":           func(*Options) {},
		"-t prog":           func(o *Options) { o.AtOnce = true },
		"-SJyZ prog":        func(o *Options) { o.CloseNotify, o.StrictEnd, o.Client, o.KeepEnv = true, true, Demanded, true },
		"-SJyZ -sjYz prog":  func(o *Options) { o.Client = Optional },
		"-tK30000 prog":     func(o *Options) { o.AtOnce, o.Handshake = true, 30*time.Second },
		"-K 0 -v2 -k0 prog": func(o *Options) { o.Handshake, o.Verbosity, o.SNI = 0, 2, 0 },
	} {
		want := least
		change(&want)
		got, prog, ok := Parse(strings.Fields(args))
		if !ok || got != want || !slices.Equal(prog, []string{"prog"}) {
			t.Errorf("%s: %+v, %q, %v", args, got, prog, ok)
		}
		again, rest, ok := Parse(got.Args())
		if !ok || again != got || len(rest) > 0 {
			t.Errorf("%s: given on as %q, read as %+v, %q, %v", args, got.Args(), again, rest, ok)
		}
	}
	if _, prog, ok := Parse([]string{"prog", "-t", "--x"}); !ok || !slices.Equal(prog, []string{"prog", "-t", "--x"}) {
		t.Errorf("the program's arguments: %q, %v", prog, ok)
	}
	for _, args := range []string{"-x prog", "-K prog", "-K -5 prog", "-K 5x prog", "-v", "-k", "--long prog", "-K 99999999999 prog"} {
		if o, _, ok := Parse(strings.Fields(args)); ok {
			t.Errorf("%q is taken: %+v", args, o)
		}
	}
}
