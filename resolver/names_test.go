package resolver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAskable(t *testing.T) {
	label := strings.Repeat("a", 63)
	long := strings.Join([]string{label, label, label, label[:61]}, ".") // 253 bytes
	for name, want := range map[string]string{
		"example.net": "example.net", "Example.NET.": "example.net", "_25._tcp.mx.example": "_25._tcp.mx.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example", label + ".example": label + ".example",
		long: long, long + ".": long, "a/b.example": "a/b.example", "net": "net",
	} {
		if got, ok := askable(name); !ok || got != want {
			t.Errorf("%q: %q, %v", name, got, ok)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".example", "a..example", "example..", label + "a.example", long + "a",
		"exa mple", "a\x00b", "a\r\nb", "bücher.example", "a\x7fb", `a\b`, `a"b`, "a;b", "a@b", "(a)", "it's", "a\tb",
	} {
		if got, ok := askable(name); ok {
			t.Errorf("%q: may be asked as %q", name, got)
		}
	}
}

func TestHostName(t *testing.T) {
	for _, name := range []string{"mx.example.net", "mx_1.example", "1.2.3.4", "xn--bcher-kva.example", "-"} {
		if !hostName(name) {
			t.Errorf("%q is refused", name)
		}
	}
	for _, name := range []string{"", `a\000b`, `a\;b`, `a\013\010b`, "a/b", "*.example", "a:b", "a%b", "MX", `a\.b`} {
		if hostName(name) {
			t.Errorf("%q is taken", name)
		}
	}
}

func TestWithin(t *testing.T) {
	for _, tt := range []struct {
		name, zone string
		want       bool
	}{
		{"a.example", "", true}, {"a.example", "example", true}, {"a.example", "a.example", true},
		{"a.example", "b.example", false}, {"xexample", "example", false}, {"example", "a.example", false},
	} {
		if got := within(tt.name, tt.zone); got != tt.want {
			t.Errorf("within(%q, %q) = %v", tt.name, tt.zone, got)
		}
	}
}

func TestKindOf(t *testing.T) {
	cause := errors.New("cause")
	e := &Error{Kind: NoData, Name: "example.net", Type: "MX", Err: cause}
	for _, tt := range []struct {
		err  error
		want Kind
	}{{nil, 0}, {e, NoData}, {fmt.Errorf("more: %w", e), NoData}, {cause, Temporary}} {
		if got := KindOf(tt.err); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.err, got, tt.want)
		}
	}
	if !errors.Is(e, cause) {
		t.Error("the cause is lost")
	}
	if got, want := e.Error(), "MX of example.net: no such records: cause"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
