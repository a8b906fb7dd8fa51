package main

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseOptions(t *testing.T) {
	least := options{verbosity: 1, in: 6, out: 7, policy: -1, prog: []string{"prog"}}
	for args, change := range map[string]func(*options){
		"prog":                    func(*options) {},
		"-- prog":                 func(*options) {},
		"prog -d --x":             func(o *options) { o.prog = []string{"prog", "-d", "--x"} },
		"-- -d":                   func(o *options) { o.prog = []string{"-d"} },
		"-d prog":                 func(o *options) { o.delayed = true },
		"-SJyZ prog":              func(o *options) { o.closeNotify, o.strictEnd, o.sendCert, o.keepEnv = true, true, true, true },
		"-SJyZ -sjYz prog":        func(*options) {},
		"-dK30000 prog":           func(o *options) { o.delayed, o.handshake = true, 30*time.Second },
		"-K 5 -v2 -k mx.x prog":   func(o *options) { o.handshake, o.verbosity, o.servername = 5*time.Millisecond, 2, "mx.x" },
		"-6 8 -79 -p 5 prog":      func(o *options) { o.in, o.out, o.policy = 8, 9, 5 },
		"--no-verify-cert prog":   func(o *options) { o.noVerify = true },
		"--servername=mx prog":    func(o *options) { o.servername = "mx" },
		"--servername mx prog":    func(o *options) { o.servername = "mx" },
		"--handshake-timeout=9 p": func(o *options) { o.handshake, o.prog = 9*time.Millisecond, []string{"p"} },
		"--verbosity=0 prog":      func(o *options) { o.verbosity = 0 },
	} {
		want := least
		change(&want)
		got, ok := parseOptions(append([]string{"ucspi-tlsc"}, strings.Fields(args)...))
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", args, got, ok)
		}
	}
	for _, args := range []string{
		"", "-d", "--", "-x prog", "-K prog", "-K -5 prog", "-K 5x prog", "-v", "-k", "--nonsense prog", "--servername",
		"--no-verify-cert=1 prog", "-6 7 prog", "-6 2 prog", "-7 1 prog", "-p 6 prog", "-p 0 prog", "-6 99999999999 prog",
	} {
		if o, ok := parseOptions(append([]string{"ucspi-tlsc"}, strings.Fields(args)...)); ok {
			t.Errorf("%q is taken: %+v", args, o)
		}
	}
	if _, ok := parseOptions(nil); ok {
		t.Error("no arguments at all are taken")
	}
}

func TestEnvironment(t *testing.T) {
	env := []string{"PATH=/bin", "CADIR=x", "CAFILE=x", "CERTFILE=x", "KEYFILE=x", "SSLCTLFD=3", "SSLREADFD=4", "SSLWRITEFD=5", "SSL_A=old", "SSL_B=old", "CADIRX=y"}
	c := &client{}
	got := apply(c.clean(env), []string{"SSL_A=new", "SSL_B"})
	if want := []string{"PATH=/bin", "CADIRX=y", "SSL_A=new"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
	c.keepEnv = true
	if got := c.clean(env); len(got) != len(env)-3 || lookup(got, "KEYFILE") != "x" {
		t.Errorf("with -Z: %q", got)
	}
	if lookup(env, "CADI") != "" || lookup(env, "PATH") != "/bin" {
		t.Error("lookup finds the wrong one")
	}
}
