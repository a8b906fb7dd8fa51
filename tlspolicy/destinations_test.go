package tlspolicy

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestLookupOrder removes the winning line of a full table again and again: what
// wins next shows the order of all sigils.
func TestLookupOrder(t *testing.T) {
	order := []string{
		"!mx.example.net", "!.example.net", "!.net",
		"%mx.example.net", "=mx.example.net",
		"~mx.example.net", "~.example.net", "~.net",
		"mx.example.net", ".example.net", ".net",
		"-mx.example.net", "-.example.net", "-.net",
		"!*", "=*", "~*", "+*", "-*", "*", "-",
	}
	general := slices.Index(order, "!*")
	var lines []string
	for _, key := range order {
		value := ":/anchors"
		if key[0] == '%' {
			value = ":=" + strings.Repeat("ab", 20)
		}
		lines = append([]string{key + value}, lines...) // the file's order must not matter
	}
	for i, key := range order {
		r := New(Config{Destinations: lines[:len(lines)-i]})
		if c := r.Complaints(); len(c) > 0 {
			t.Fatal(c)
		}
		rule, specific := r.lookup(Destination{Domain: "mx.example.net"}.canonical())
		if rule == nil || rule.source != destinationsFile+`: "`+key+`"` {
			t.Fatalf("step %d: %+v wins, want %q", i, rule, key)
		}
		if specific != (i < general) {
			t.Errorf("%q: specific = %v", key, specific)
		}
	}
	r := New(Config{Destinations: lines[len(lines):]})
	if rule, _ := r.lookup(Destination{Domain: "mx.example.net"}); rule != nil {
		t.Errorf("an empty file has a rule: %+v", rule)
	}
}

func TestLookupNames(t *testing.T) {
	for _, tt := range []struct {
		why, line string
		d         Destination
		hit       bool
	}{
		{"case of the key", "-EXAMPLE.net:", Destination{Domain: "example.net"}, true},
		{"case of the destination", "-example.net:", Destination{Domain: "Example.NET"}, true},
		{"final dot", "-example.net:", Destination{Domain: "example.net."}, true},
		{"the relay stands for the domain", "-relay.example:", Destination{Domain: "example.net", Relay: "relay.example"}, true},
		{"and hides it", "-example.net:", Destination{Domain: "example.net", Relay: "relay.example"}, false},
		{"the exchanger is not the destination", "-mx.example.net:", Destination{Domain: "example.net", Host: "mx.example.net"}, false},
		{"a suffix needs its dot", "-ample.net:", Destination{Domain: "example.net"}, false},
		{"a name is not its own suffix", "-.example.net:", Destination{Domain: "example.net"}, false},
		{"exact means exact", "=.net:/a", Destination{Domain: "example.net"}, false},
		{"a whole name is no suffix", "~net:", Destination{Domain: "example.net"}, false},
		{"address literal", "-[192.0.2.1]:", Destination{Domain: "[192.0.2.1]"}, true},
		{"address of a route", "-[192.0.2.1]:", Destination{Relay: "192.0.2.1"}, true},
		{"IPv6 literal", "-[IPv6:2001:DB8::1]:;26", Destination{Domain: "[IPv6:2001:db8:0::1]"}, true},
		{"IPv6 of a route", "-[2001:db8::1]:", Destination{Relay: "2001:db8::1"}, true},
		{"no suffixes of addresses", "-.2.1:", Destination{Domain: "[192.0.2.1]"}, false},
		{"no colon", "-example.net", Destination{Domain: "example.net"}, true},
		{"of that sender", "-example.net:||;25|Here.Example", Destination{Domain: "example.net", Sender: "a@HERE.example"}, true},
		{"of that sender, no port", "-example.net:|||here.example", Destination{Domain: "example.net", Sender: "a@here.example"}, true},
		{"of another sender", "-example.net:||;25|here.example", Destination{Domain: "example.net", Sender: "a@there.example"}, false},
		{"of the empty sender", "-example.net:||;25|here.example", Destination{Domain: "example.net"}, false},
		{"longer than a name", "~.a:", Destination{Domain: strings.Repeat("x.", 1<<20) + "a"}, false},
		{"nothing known", "-example.net:", Destination{}, false},
	} {
		r := New(Config{Destinations: []string{tt.line}})
		if c := r.Complaints(); len(c) > 0 {
			t.Errorf("%s: %v", tt.why, c)
		}
		if rule, _ := r.lookup(tt.d.canonical()); (rule != nil) != tt.hit {
			t.Errorf("%s: %q for %+v: hit = %v", tt.why, tt.line, tt.d, rule != nil)
		}
	}
}

func TestLookupDuplicates(t *testing.T) {
	r := New(Config{Destinations: []string{
		"-example.net:;1", "-example.net:;2|here.example", "-example.net:;3", "*:;4", "~example.net:;5|else.example",
	}})
	for sender, port := range map[string]uint16{"a@b.example": 3, "a@here.example": 2, "": 3, "a@else.example": 5} {
		if got := r.Port(Destination{Domain: "example.net", Sender: sender}); got != port {
			t.Errorf("sender %q: port %d, want %d", sender, got, port)
		}
	}
}

func TestDestinationFields(t *testing.T) {
	sha1, sha512 := strings.Repeat("0f", 20), strings.Repeat("A5", 64)
	for _, tt := range []struct {
		line string
		want Policy
	}{
		{"example.net:", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/home/anchors.pem", ChainOnly: true}},
		{"example.net:/a/b.pem|X:Y|3;2525", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/a/b.pem", ChainOnly: true,
			Ciphers: "X:Y", Depth: 3, Port: 2525}},
		{"=example.net:/dir/", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/dir/", Names: []string{"mx.example.net"}}},
		{"=example.net:control/a.pem||1", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/home/control/a.pem",
			Names: []string{"mx.example.net"}, Depth: 1}},
		{"~example.net:;465", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/home/anchors.pem",
			Names: []string{"mx.example.net"}, Wildcards: true, Port: 465, Implicit: true}},
		{"-example.net:||;s1465", Policy{Mode: Encrypt, ServerName: "mx.example.net", Port: 1465, Implicit: true}},
		{"-example.net:|AES128-SHA", Policy{Mode: Encrypt, ServerName: "mx.example.net", Ciphers: "AES128-SHA"}},
		{"%example.net:=" + sha1, Policy{Mode: Fingerprint, ServerName: "mx.example.net", Digest: fromHex(t, sha1)}},
		{"%example.net:=" + sha512 + ";26", Policy{Mode: Fingerprint, ServerName: "mx.example.net", Digest: fromHex(t, sha512), Port: 26}},
		{"!example.net:;26", Policy{Mode: None, Port: 26}},
		{"!example.net:;465", Policy{Mode: None, Port: 465}},
		{"-*:", Policy{Mode: Encrypt, ServerName: "mx.example.net"}},
		{"+*:", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/home/anchors.pem", ChainOnly: true}},
		{":/all.pem", Policy{Mode: Verify, ServerName: "mx.example.net", Anchors: "/all.pem", ChainOnly: true}},
		{"*:", Policy{Mode: Opportunistic, ServerName: "mx.example.net"}},
		{"-:", Policy{Mode: Opportunistic, ServerName: "mx.example.net"}},
		{"*:;465", Policy{Mode: Encrypt, ServerName: "mx.example.net", Port: 465, Implicit: true}},
		{"!*:", Policy{}},
	} {
		r := New(Config{Home: "/home", Anchors: "anchors.pem", Destinations: []string{tt.line}})
		p, err := r.Decide(Destination{Domain: "example.net", Host: "mx.example.net", Port: 25})
		if err != nil || len(r.Complaints()) > 0 {
			t.Errorf("%q: %v %v", tt.line, err, r.Complaints())
		}
		wantPolicy(t, tt.line, p, tt.want)
	}
}

// TestManualExample is the example of tlsdestinations(5).
func TestManualExample(t *testing.T) {
	page, err := os.ReadFile("../man/tlsdestinations.5")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(page), ".Sh EXAMPLES\n.Bd -literal\n")
	example, _, _ = strings.Cut(example, ".Ed\n")
	r := New(Config{Anchors: "/a", Destinations: strings.Split(strings.TrimSpace(example), "\n")})
	if c := r.Complaints(); len(c) > 0 || len(r.destinations) != 9 {
		t.Errorf("%d keys, complaints %q", len(r.destinations), c)
	}
	for domain, mode := range map[string]Mode{"partner.example": Encrypt, "a.bank.example": Verify, "archive.example": Verify,
		"pinned.example": Fingerprint, "old.example": Verify, "broken.example": None, "x.broken.example": None, "law.example": Encrypt,
		"bank.example": Opportunistic, "a.law.example": Opportunistic} {
		if p, err := r.Decide(Destination{Domain: domain, Sender: "joe@office.example"}); err != nil || p.Mode != mode {
			t.Errorf("%s: %v, %v", domain, p.Mode, err)
		}
	}
}

// TestBadDestinations: a bad line is complained about, and defers its own
// destinations only; without a legible key it is as if it were not there.
func TestBadDestinations(t *testing.T) {
	for _, tt := range []struct{ line, complaint string }{
		{"=bad.example:/a||x", `"=bad.example": depth is not a number`},
		{"=bad.example:/a||-1", `"=bad.example": depth`},
		{"=bad.example:/a||101", `"=bad.example": depth`},
		{"-bad.example:;0", `"-bad.example": port`},
		{"-bad.example:;70000", `"-bad.example": port`},
		{"-bad.example:;smtp", `"-bad.example": port`},
		{"=bad.example:a|b|3|here|more", `"=bad.example": too many fields`},
		{"=bad.example:=" + strings.Repeat("ab", 20), `a fingerprint needs a key with`},
		{"%bad.example:", "no fingerprint"},
		{"%bad.example:/file", "no fingerprint"},
		{"%bad.example:=xyz", "not hexadecimal"},
		{"%bad.example:=abcd", "length"},
		{"%bad.example:=" + strings.Repeat("ab", 48), "length"},
	} {
		r := New(Config{Anchors: "/a", Destinations: []string{"-before.example:", tt.line, "-after.example:"}})
		wantComplaint(t, r, tt.complaint)
		for _, domain := range []string{"before.example", "after.example"} {
			p, err := r.Decide(Destination{Domain: domain, Host: "mx." + domain})
			if err != nil || p.Mode != Encrypt {
				t.Errorf("%q harms %s: %v %v", tt.line, domain, p.Mode, err)
			}
		}
		_, err := r.Decide(Destination{Domain: "bad.example", Host: "mx.bad.example"})
		wantFailure(t, tt.line, err, Local, "control/tlsdestinations", "bad.example")
		if r.WantsTLSA(Destination{Domain: "bad.example"}) {
			t.Errorf("%q: TLSA wanted for a delivery that is deferred", tt.line)
		}
	}
	for _, line := range []string{"a b:x", "~/etc/passwd:", "..:", "%*:=ab", "=a..b:/x", "+name.example:"} {
		r := New(Config{Anchors: "/a", Destinations: []string{line}})
		wantComplaint(t, r, "not the name of a destination")
		if p, err := r.Decide(Destination{Domain: "example.net"}); err != nil || p.Mode != Opportunistic {
			t.Errorf("%q is felt: %v %v", line, p.Mode, err)
		}
	}
}

func FuzzDestinations(f *testing.F) {
	for _, s := range []string{"=a.example:/x|y|3;465|b.example", "%a:=00", "!:\n-\n*", "[IPv6:::1]:;s26", "-[::1", "~.:", "a|b:c|d|e|f|g"} {
		f.Add(s, "a.example")
	}
	f.Fuzz(func(t *testing.T, lines, domain string) {
		r := New(Config{Anchors: "/a", Destinations: strings.Split(lines, "\n"), DomainCerts: strings.Split(lines, "\n")})
		d := Destination{Domain: domain, Host: domain, Sender: "a@" + domain}
		p, err := r.Decide(d)
		if err != nil && len(r.Complaints()) == 0 {
			t.Fatalf("error without a complaint: %v", err)
		}
		if err != nil {
			return
		}
		if p.Required() == p.MayPlain() && !p.Implicit {
			t.Fatalf("%v is neither required nor optional", p.Mode)
		}
		if p.Mode == Verify && (p.Anchors == "" || !p.ChainOnly && len(p.Names) == 0) && domain != "" && canonicalName(domain) != "" {
			t.Fatalf("nothing to verify with: %+v", p)
		}
		if n := r.Port(d); n != p.Port {
			t.Fatalf("port %d, policy has %d", n, p.Port)
		}
	})
}
