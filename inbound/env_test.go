package inbound

import (
	"slices"
	"strings"
	"testing"
)

func TestEnv(t *testing.T) {
	original := []string{"A=1", "B=", "A=2", "C", "D=x=y"}
	e := Env(slices.Clone(original))
	for name, want := range map[string]string{"A": "1", "B": "", "D": "x=y"} {
		if got, set := e.Lookup(name); got != want || !set || e.Get(name) != want {
			t.Errorf("%s: %q, %v", name, got, set)
		}
	}
	for _, name := range []string{"C", "", "a", "A=1", "E"} {
		if got, set := e.Lookup(name); set || got != "" {
			t.Errorf("%q is %q", name, got)
		}
	}
	shared := e
	e.Set("A", "3")
	e.Unset("B")
	e.Unset("E")
	if want := []string{"C", "D=x=y", "A=3"}; !slices.Equal(e, want) {
		t.Errorf("%q, want %q", e, want)
	}
	if !slices.Equal(shared, original) {
		t.Errorf("another's environment was changed: %q", shared)
	}
	e.Apply([]string{"SSL_A=1", "SSL_B=x=\ny", "A", "SSL_A=2", "E"})
	if want := []string{"C", "D=x=y", "SSL_B=x=\ny", "SSL_A=2"}; !slices.Equal(e, want) {
		t.Errorf("%q, want %q", e, want)
	}
}

func TestTakeLevel(t *testing.T) {
	for env, want := range map[string]Level{
		"":                            Unavailable,
		"UCSPITLS=":                   Available,
		"UCSPITLS=-":                  Unavailable,
		"UCSPITLS=!":                  Required,
		"UCSPITLS=?":                  Available,
		"UCSPITLS=@":                  Available,
		"UCSPITLS=!!":                 Available,
		"UCSPITLS=! DISABLETLS=":      Unavailable,
		"DISABLETLS=1 UCSPITLS=":      Unavailable,
		"DISABLETLS=0":                Unavailable,
		"UCSPITLSX=! XUCSPITLS=! A=b": Unavailable,
	} {
		e := Env(strings.Fields(env + " KEPT=1"))
		if got := TakeLevel(&e); got != want {
			t.Errorf("%s: %v, want %v", env, got, want)
		}
		for _, name := range []string{"UCSPITLS", "DISABLETLS"} {
			if _, set := e.Lookup(name); set {
				t.Errorf("%s: %s is left for others", env, name)
			}
		}
		if e.Get("KEPT") != "1" {
			t.Errorf("%s: %q is left", env, e)
		}
	}
	var said []string
	for _, l := range []Level{Unavailable, Available, Required} {
		said = append(said, l.String())
	}
	if got := strings.Join(said, " "); got != "unavailable available required" {
		t.Error(got)
	}
}
