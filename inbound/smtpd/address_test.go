package smtpd

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"postrider/inbound"
)

func TestLiteral(t *testing.T) {
	for domain, want := range map[string]string{
		"[127.0.0.1]": "127.0.0.1", "[1.2.3.4]": "1.2.3.4", "[001.02.3.4]": "1.2.3.4", "[255.255.255.255]": "255.255.255.255",
		"[IPv6:2001:db8::1]": "2001:db8::1", "[ipv6:::1]": "::1", "[IPV6:::ffff:1.2.3.4]": "1.2.3.4",
	} {
		if got, ok := literal(domain); !ok || got.String() != want {
			t.Errorf("%s: %v, %v", domain, got, ok)
		}
	}
	for _, domain := range []string{
		"", "[]", "1.2.3.4", "[1.2.3.4", "1.2.3.4]", "[1.2.3.4]x", "x[1.2.3.4]", "[1.2.3]", "[1.2.3.4.5]", "[1.2.3.]", "[1.2.3.4.]", "[256.1.1.1]",
		"[1.2.3.x]", "[1.2.3.-4]", "[ 1.2.3.4]", "[1.2.3.99999999999999999999]", "[::1]", "[IPv6:1.2.3.4]", "[IPv6:::1%lo]", "[IPv6:]", "[IPv6:x]", "[[1.2.3.4]]",
	} {
		if got, ok := literal(domain); ok {
			t.Errorf("%s is %v", domain, got)
		}
	}
}

// machine is a session on a machine with these addresses.
func machine(t *testing.T, addrs ...string) *session {
	t.Helper()
	s, err := newSession(string(controls(t, nil)), nil)
	if err != nil {
		t.Fatal(err)
	}
	s.interfaces = func() ([]netip.Addr, error) {
		var list []netip.Addr
		for _, a := range addrs {
			list = append(list, netip.MustParseAddr(a))
		}
		return list, nil
	}
	return s
}

func TestSettle(t *testing.T) {
	s := machine(t, "127.0.0.1", "192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1", "fe80::1%eth0")
	for address, want := range map[string]string{
		"a@[127.0.0.1]": "a@me.example", "a@[192.0.2.1]": "a@me.example", "a@[192.0.2.2]": "a@me.example", "a@[0.0.0.0]": "a@me.example",
		"a@[IPv6:2001:DB8:0::1]": "a@me.example", "a@[IPv6:::]": "a@me.example", "a@[IPv6:::ffff:192.0.2.1]": "a@me.example", "a@[IPv6:fe80::1]": "a@me.example",
		"a@[192.0.2.3]": "a@[192.0.2.3]", "a@[IPv6:2001:db8::2]": "a@[IPv6:2001:db8::2]", "[127.0.0.1]": "[127.0.0.1]",
		"a@[127.0.0.1]x": "a@[127.0.0.1]x", "a@[127.0.0.1]@b": "a@[127.0.0.1]@b", "a@b@[127.0.0.1]": "a@b@me.example", "@[127.0.0.1]": "@me.example",
		"": "", "a": "a", "a@b": "a@b",
	} {
		if got, err := s.settle(address); got != want || err != nil {
			t.Errorf("%s: %s, %v", address, got, err)
		}
	}
	// A long address is judged by what it becomes.
	for _, c := range []struct {
		local, domain string
		ok            bool
	}{
		{strings.Repeat("x", 897), "b", true},
		{strings.Repeat("x", 898), "b", false},
		{strings.Repeat("x", 888), "[127.0.0.1]", true},
		{strings.Repeat("x", 889), "[127.0.0.1]", false},
		{strings.Repeat("x", 880), "[IPv6:2001:0db8:0000:0000:0000:0000:0000:0001]", true},
	} {
		if _, err := s.settle(c.local + "@" + c.domain); (err == nil) != c.ok || err != nil && err != inbound.BadSyntax {
			t.Errorf("%d bytes and %s: %v", len(c.local), c.domain, err)
		}
	}
	s.localIPHost = ""
	if got, err := s.settle("a@[127.0.0.1]"); got != "a@[127.0.0.1]" || err != nil {
		t.Errorf("without localiphost: %s, %v", got, err)
	}
}

func TestNoAddresses(t *testing.T) {
	s := machine(t)
	s.interfaces = func() ([]netip.Addr, error) { return nil, errors.New("as the test wants") }
	if _, err := s.settle("a@[1.2.3.4]"); err == nil || err.Error() != "421 unable to figure out my IP addresses (#4.3.0)" {
		t.Errorf("got %v", err)
	}
	if got, err := s.settle("a@b"); got != "a@b" || err != nil {
		t.Errorf("an address that needs none: %s, %v", got, err)
	}
}

// A machine whose every interface is down has no addresses, and no address is
// an error.
func TestUpInterfaces(t *testing.T) {
	list, err := upInterfaces()
	if (err == nil) != (len(list) > 0) || slices.ContainsFunc(list, func(a netip.Addr) bool { return !a.IsValid() }) {
		t.Errorf("%v, %v", list, err)
	}
}
