package routes

import (
	"net/netip"
	"testing"
)

func TestAuthSenders(t *testing.T) {
	a := ParseAuthSenders([]string{
		"joe@a.example:relay1;587|joe|secret",
		"@a.example:relay2:465|all|!pw|more",
		".example:relay3|dom|pw",
		"@B.Example:relay4",
		"@c.example:|me|pw",
		"@d.example:relay5;0|x|y", // bad: the suffix decides
		"@e.example:[2001:db8::1];25|v6|pw",
		"@f.example:first|1|1",
		"@f.example:last|2|2",
		":default|no|such",
		"nonsense",
		"@g.example:relay\x00x|u|p",
	})
	tests := []struct {
		reason, sender string
		want           Route
		found          bool
	}{
		{"whole sender", "joe@a.example", Route{Relay: "relay1", Port: 587, User: "joe", Password: "secret"}, true},
		{"case", "JOE@A.EXAMPLE", Route{Relay: "relay1", Port: 587, User: "joe", Password: "secret"}, true},
		{"domain", "ann@a.example", Route{Relay: "relay2", Port: 465, User: "all", Password: "pw|more", Clear: true}, true},
		{"parent domain", "ann@x.example", Route{Relay: "relay3", User: "dom", Password: "pw"}, true},
		{"case in the file", "ann@b.example", Route{Relay: "relay4"}, true},
		{"to the MX", "ann@c.example", Route{User: "me", Password: "pw"}, true},
		{"a bad line is not there", "ann@d.example", Route{Relay: "relay3", User: "dom", Password: "pw"}, true},
		{"another bad line", "ann@g.example", Route{Relay: "relay3", User: "dom", Password: "pw"}, true},
		{"IPv6", "ann@e.example", Route{Relay: "2001:db8::1", User: "v6", Password: "pw"}, true},
		{"the last of two", "ann@f.example", Route{Relay: "last", User: "2", Password: "2"}, true},
		{"a dot before the @", "a.joe@a.example", Route{Relay: "relay2", Port: 465, User: "all", Password: "pw|more", Clear: true}, true},
		{"another domain", "joe@a.invalid", Route{}, false},
		{"never the empty sender", "", Route{}, false},
		{"double bounce", "#@[]", Route{}, false},
	}
	for _, tt := range tests {
		if r, ok := a.Lookup(tt.sender); r != tt.want || ok != tt.found {
			t.Errorf("%s: %+v, %v", tt.reason, r, ok)
		}
	}
	if r, ok := ParseAuthSenders(nil).Lookup("joe@a.example"); ok {
		t.Errorf("of no file: %+v", r)
	}
}

func TestQMTP(t *testing.T) {
	q := ParseQMTP([]string{
		"a.example:relay1",
		".example:relay2;6209",
		"no.example:",
		"v6.example:[2001:db8::1]:210",
		"smtp.example:relay3:25",
		"bad.example:relay:0",
	})
	tests := []struct {
		reason, host string
		want         Route
		found        bool
	}{
		{"port 209 by itself", "A.example", Route{Relay: "relay1", Port: 209, QMTP: true}, true},
		{"QMTPS", "b.example", Route{Relay: "relay2", Port: 6209, QMTP: true}, true},
		{"an exception", "no.example", Route{}, false},
		{"IPv6", "v6.example", Route{Relay: "2001:db8::1", Port: 210, QMTP: true}, true},
		{"even port 25", "smtp.example", Route{Relay: "relay3", Port: 25, QMTP: true}, true},
		{"a bad line is not there", "bad.example", Route{Relay: "relay2", Port: 6209, QMTP: true}, true},
		{"no line", "example", Route{}, false},
	}
	for _, tt := range tests {
		if r, ok := q.Lookup(tt.host); r != tt.want || ok != tt.found {
			t.Errorf("%s: %+v, %v", tt.reason, r, ok)
		}
	}
	if r, ok := ParseQMTP([]string{":relay"}).Lookup("any.example"); !ok || r.Relay != "relay" {
		t.Errorf("default: %+v, %v", r, ok)
	}
}

func TestDomainIPs(t *testing.T) {
	ip := netip.MustParseAddr
	d := ParseDomainIPs([]string{
		"both.example:192.0.2.1|both4.example",
		"both.example:2001:db8::1%eth0",
		"four.example:192.0.2.4",
		".sub.example:[2001:db8::5]|sub.example",
		"four.sub.example:192.0.2.5|four.sub.example",
		"name.example:|name.example",
		"mapped.example:::ffff:192.0.2.6",
		"zone.example:[fe80::1%eth1]",
		"Case.Example:192.0.2.7%eth0",
		"bad.example:192.0.2.999|bad",
		"bad.example:",
		"twice.example:192.0.2.8|old",
		"twice.example:192.0.2.9|new",
	})
	tests := []struct {
		reason, sender string
		want           Source
		found          bool
	}{
		{"both families", "a@both.example", Source{V4: ip("192.0.2.1"), V6: ip("2001:db8::1"), Iface: "eth0", HeloHost: "both4.example"}, true},
		{"one family", "a@four.example", Source{V4: ip("192.0.2.4")}, true},
		{"suffix", "a@b.sub.example", Source{V6: ip("2001:db8::5"), HeloHost: "sub.example"}, true},
		{"the other family by suffix", "a@four.sub.example", Source{V4: ip("192.0.2.5"), V6: ip("2001:db8::5"), HeloHost: "four.sub.example"}, true},
		{"name alone", "a@name.example", Source{HeloHost: "name.example"}, true},
		{"mapped", "a@mapped.example", Source{V4: ip("192.0.2.6")}, true},
		{"zone in brackets", "a@zone.example", Source{V6: ip("fe80::1"), Iface: "eth1"}, true},
		{"case; an interface means nothing to IPv4", "a@cASE.example", Source{V4: ip("192.0.2.7")}, true},
		{"the last of two", "a@twice.example", Source{V4: ip("192.0.2.9"), HeloHost: "new"}, true},
		{"bad lines", "a@bad.example", Source{}, false},
		{"no line", "a@sub.example", Source{}, false},
		{"no domain", "a", Source{}, false},
		{"empty sender", "", Source{}, false},
		{"the last @ counts", "a@four.example@both.invalid", Source{}, false},
	}
	for _, tt := range tests {
		if s, ok := d.Lookup(tt.sender); s != tt.want || ok != tt.found {
			t.Errorf("%s: %+v, %v", tt.reason, s, ok)
		}
	}
}

func TestDomainIPsDefault(t *testing.T) {
	ip := netip.MustParseAddr
	d := ParseDomainIPs([]string{"*:192.0.2.1|all.example", "*:2001:db8::1", "own.example:2001:db8::2"})
	all := Source{V4: ip("192.0.2.1"), V6: ip("2001:db8::1"), HeloHost: "all.example"}
	for _, sender := range []string{"", "a", "a@b.example", "#@[]"} {
		if s, ok := d.Lookup(sender); s != all || !ok {
			t.Errorf("%q: %+v, %v", sender, s, ok)
		}
	}
	// The name belongs to the key that decides, not to another's address.
	if s, _ := d.Lookup("a@own.example"); s != (Source{V4: ip("192.0.2.1"), V6: ip("2001:db8::2")}) {
		t.Errorf("own: %+v", s)
	}
}

// FuzzSenders: no line makes a table fail, and what comes out is sound.
func FuzzSenders(f *testing.F) {
	f.Add("@a.example:relay;587|u|p", "joe@a.example")
	f.Add("*:2001:db8::1%eth0|helo", "")
	f.Fuzz(func(t *testing.T, line, sender string) {
		lines := []string{line, "*:192.0.2.1"}
		if r, ok := ParseAuthSenders(lines).Lookup(sender); ok && sender == "" {
			t.Errorf("a route for the empty sender: %+v", r)
		}
		if r, ok := ParseQMTP(lines).Lookup(sender); ok != r.QMTP || ok && (r.Port == 0 || r.Relay == "") {
			t.Errorf("%+v, %v", r, ok)
		}
		s, ok := ParseDomainIPs(lines).Lookup(sender)
		if !ok || s.V4.IsValid() && !s.V4.Is4() || s.V6.IsValid() && !s.V6.Is6() || s.V6.Zone() != "" {
			t.Errorf("%+v, %v", s, ok)
		}
	})
}
