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

func TestUnpackName(t *testing.T) {
	long := strings.Repeat("\x3f"+strings.Repeat("a", 63), 3)
	for _, tt := range []struct {
		why, msg string
		at       int
		name     string
		end      int
	}{
		{"the root", "\x00", 0, "", 1},
		{"labels, in lower case", "\x02Mx\x01A\x00.", 0, "mx.a", 6},
		{"a pointer, and what follows it", "\x01a\x00\x02mx\xc0\x00\xff", 3, "mx.a", 8},
		{"a pointer forward", "\xc0\x02\x01a\x00", 0, "a", 2},
		{"odd bytes", "\x04a.\\\x80\x00", 0, "a\\.\\\\\\\x80", 6},
		{"of 255 bytes", long + "\x3d" + strings.Repeat("b", 61) + "\x00", 0, strings.Repeat(strings.Repeat("a", 63)+".", 3) + strings.Repeat("b", 61), 255},
		{"of 256 bytes", long + "\x3e" + strings.Repeat("b", 62) + "\x00", 0, "", -1},
		{"a pointer to itself", "\xc0\x00", 0, "", -1},
		{"half a pointer", "\xc0", 0, "", -1},
		{"a pointer out of the message", "\xc0\x02", 0, "", -1},
		{"a reserved label", "\x41a\x00", 0, "", -1},
		{"another", "\x81a\x00", 0, "", -1},
		{"a label without an end", "\x02a", 0, "", -1},
		{"a name without an end", "\x01a", 0, "", -1},
		{"nothing at all", "", 0, "", -1},
	} {
		name, end, ok := unpackName([]byte(tt.msg), tt.at)
		if ok != (tt.end >= 0) || ok && (name != tt.name || end != tt.end) {
			t.Errorf("%s: %q to %d, %v", tt.why, name, end, ok)
		}
		sameNames(t, []byte(tt.msg))
	}
}
