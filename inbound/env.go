package inbound

import (
	"slices"
	"strings"
)

// Env is an environment, "NAME=value" each, as os.Environ gives it. It stands
// for the process's own, which nothing below main touches, and is what children
// get.
type Env []string

// Get is the value of name; "" when it is not there.
func (e Env) Get(name string) string {
	value, _ := e.Lookup(name)
	return value
}

// Lookup is the value of name, and whether it is there. Of several the first
// counts, as for getenv(3).
func (e Env) Lookup(name string) (string, bool) {
	for _, v := range e {
		if n, value, ok := strings.Cut(v, "="); ok && n == name {
			return value, true
		}
	}
	return "", false
}

// Unset removes every name of that name.
func (e *Env) Unset(name string) {
	*e = slices.DeleteFunc(slices.Clone(*e), func(v string) bool {
		n, _, ok := strings.Cut(v, "=")
		return ok && n == name
	})
}

// Set gives name its value.
func (e *Env) Set(name, value string) {
	e.Unset(name)
	*e = append(*e, name+"="+value)
}

// Apply takes the records of a UCSPI-TLS helper: "NAME=value" sets, "NAME" alone
// unsets.
func (e *Env) Apply(records []string) {
	for _, r := range records {
		if name, value, set := strings.Cut(r, "="); set {
			e.Set(name, value)
		} else {
			e.Unset(name)
		}
	}
}

// Level is whether a server offers STARTTLS or STLS.
type Level uint8

const (
	Unavailable Level = iota
	Available
	Required
)

func (l Level) String() string {
	switch l {
	case Unavailable:
		return "unavailable"
	case Available:
		return "available"
	case Required:
		return "required"
	}
	panic("inbound: no such level")
}

// TakeLevel reads UCSPITLS and DISABLETLS and removes both, so that no program
// further down the chain offers TLS once more. "-" and DISABLETLS mean
// unavailable, "!" required; anything else, the empty value too, available.
func TakeLevel(e *Env) Level {
	value, set := e.Lookup("UCSPITLS")
	_, disabled := e.Lookup("DISABLETLS")
	e.Unset("UCSPITLS")
	e.Unset("DISABLETLS")
	switch {
	case disabled || !set || value == "-":
		return Unavailable
	case value == "!":
		return Required
	}
	return Available
}
