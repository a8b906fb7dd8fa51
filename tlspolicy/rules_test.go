package tlspolicy

import (
	"bytes"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	goodTLSA = TLSA{3, 1, 1, bytes.Repeat([]byte{7}, 32)}
	badTLSA  = TLSA{0, 0, 1, bytes.Repeat([]byte{7}, 32)}
)

// controlFiles is a control directory with empty files.
func controlFiles(names ...string) fs.FS {
	m := fstest.MapFS{}
	for _, n := range names {
		m[n] = &fstest.MapFile{}
	}
	return m
}

func TestModes(t *testing.T) {
	anchors := func(lines ...string) Config { return Config{Anchors: "/a", Destinations: lines} }
	strict := func(n int, lines ...string) Config {
		return Config{Anchors: "/a", Strictness: n, Destinations: lines}
	}
	files := func(c Config, names ...string) Config {
		c.Hosts = controlFiles(names...)
		return c
	}
	fingerprint := "%example.net:=" + strings.Repeat("ab", 32)
	for _, tt := range []struct {
		why                 string
		c                   Config
		port                uint16
		noTLSA, unusable, D Mode // without TLSA records, with unusable ones, with good ones
	}{
		{"untouched", Config{}, 25, None, None, None},
		{"trust anchors", anchors(), 25, Opportunistic, Encrypt, DANE},
		{"tlsstrictness 1", strict(1), 25, Opportunistic, Encrypt, DANE},
		{"tlsstrictness 2", strict(2), 25, Verify, Verify, DANE},

		{"a rule asks for TLS without trustanchors", Config{Destinations: []string{"*:"}}, 25, Opportunistic, Encrypt, DANE},
		{"a rule demands it", Config{Destinations: []string{"-example.net:"}}, 25, Encrypt, Encrypt, DANE},
		{"a rule forbids it", anchors("!example.net:"), 25, None, None, None},
		{"everybody's rule forbids it", anchors("!*:"), 25, None, None, None},
		{"a rule beats tlsstrictness downwards", strict(2, "*:"), 25, Opportunistic, Encrypt, DANE},
		{"and so does none", strict(2, "!example.net:"), 25, None, None, None},
		{"and upwards", strict(0, "=example.net:"), 25, Verify, Verify, DANE},
		{"a fingerprint stands by itself", anchors(fingerprint), 25, Fingerprint, Fingerprint, Fingerprint},
		{"as do anchors of one's own", anchors("=example.net:/own"), 25, Verify, Verify, Verify},

		{"port 465 in a route", Config{}, 465, Encrypt, Encrypt, DANE},
		{"port 465 with trust anchors", anchors(), 465, Encrypt, Encrypt, DANE},
		{"port 465 and a rule that forbids TLS", anchors("!example.net:"), 465, None, None, None},
		{"port 465 with tlsstrictness 2", strict(2), 465, Verify, Verify, DANE},
		{"a rule's port beats the route's", anchors("*:;587"), 465, Opportunistic, Encrypt, DANE},
		{"QMTPS", Config{}, 6209, Encrypt, Encrypt, DANE},

		{"tlshosts without trustanchors", files(Config{}, "tlshosts/mx.example.net.pem"), 25, Verify, Verify, Verify},
		{"tlshosts of another host", files(anchors(), "tlshosts/mx.example.com.pem"), 25, Opportunistic, Encrypt, DANE},
		{"notlshosts", files(anchors(), "notlshosts/mx.example.net"), 25, None, None, None},
		{"notlshosts beats tlsstrictness", files(strict(2), "notlshosts/mx.example.net"), 25, None, None, None},
		{"notlshosts beats everybody's rule", files(anchors("-*:"), "notlshosts/mx.example.net"), 25, None, None, None},
		{"tlshosts beats everybody's rule", files(anchors("!*:"), "tlshosts/mx.example.net.pem"), 25, Verify, Verify, Verify},
		{"its own rule is stricter than notlshosts", files(anchors("-example.net:"), "notlshosts/mx.example.net"), 25, Encrypt, Encrypt, DANE},
		{"tlshosts is stricter than its own rule", files(anchors("!example.net:"), "tlshosts/mx.example.net.pem"), 25, Verify, Verify, Verify},
		{"fingerprint is stricter than tlshosts", files(anchors(fingerprint), "tlshosts/mx.example.net.pem"), 25, Fingerprint, Fingerprint, Fingerprint},
		{"tlshosts and notlshosts", files(anchors(), "tlshosts/mx.example.net.pem", "notlshosts/mx.example.net"), 25, Verify, Verify, Verify},

		{"exhaustivelist", files(anchors(), "tlshosts/exhaustivelist"), 25, None, None, None},
		{"exhaustivelist with this host", files(anchors(), "tlshosts/exhaustivelist", "tlshosts/mx.example.net.pem"), 25, Verify, Verify, Verify},
		{"exhaustivelist and its own rule", files(anchors("-example.net:"), "tlshosts/exhaustivelist"), 25, Encrypt, Encrypt, DANE},
		{"exhaustivelist and everybody's rule", files(anchors("*:"), "tlshosts/exhaustivelist"), 25, Opportunistic, Encrypt, DANE},
		{"exhaustivelist does not undo tlsstrictness 2", files(strict(2), "tlshosts/exhaustivelist"), 25, Verify, Verify, DANE},
		{"exhaustivelist and port 465", files(anchors(), "tlshosts/exhaustivelist"), 465, Encrypt, Encrypt, DANE},
	} {
		r := New(tt.c)
		d := Destination{Domain: "example.net", Host: "mx.example.net", Port: tt.port, TLSABase: "mx.example.net"}
		for _, try := range []struct {
			records []TLSA
			status  TLSAStatus
			want    Mode
		}{
			{nil, NoTLSA, tt.noTLSA},
			{[]TLSA{goodTLSA}, NoTLSA, tt.noTLSA}, // found, but not authenticated
			{nil, TLSAFound, tt.unusable},
			{[]TLSA{badTLSA}, TLSAFound, tt.unusable},
			{[]TLSA{badTLSA, goodTLSA}, TLSAFound, tt.D},
		} {
			d.TLSA, d.TLSAStatus = try.records, try.status
			p, err := r.Decide(d)
			if err != nil || p.Mode != try.want {
				t.Errorf("%s: with %v: %v (%v), want %v", tt.why, try.records, p.Mode, err, try.want)
			}
			implicit := (tt.port == 465 || tt.port == 6209) && p.Mode != None && p.Port == 0
			if p.Implicit != implicit {
				t.Errorf("%s: implicit = %v", tt.why, p.Implicit)
			}
			prefer := tt.c.Strictness == 1 && p.Mode == Opportunistic
			if p.PreferTLS != prefer {
				t.Errorf("%s: prefer = %v in mode %v", tt.why, p.PreferTLS, p.Mode)
			}
			if p.Required() != (p.Mode >= Encrypt) || p.MayPlain() == p.Required() {
				t.Errorf("%s: required %v, may be plain %v", tt.why, p.Required(), p.MayPlain())
			}
		}
		if wants := r.WantsTLSA(d); wants != (tt.noTLSA != tt.D || tt.D == DANE) {
			t.Errorf("%s: WantsTLSA = %v", tt.why, wants)
		}
	}
}

func TestDANEPolicy(t *testing.T) {
	r := New(Config{Anchors: "/a", Strictness: 2, Destinations: []string{"via.example:|AES128-SHA|2"}})
	record := TLSA{2, 0, 1, bytes.Repeat([]byte{1}, 32)}
	for _, tt := range []struct {
		why  string
		d    Destination
		want Policy
	}{
		{"names of an exchanger", Destination{Domain: "Example.net", Host: "mx.example.net", TLSABase: "mx.example.net"},
			Policy{ServerName: "mx.example.net", Names: []string{"example.net", "mx.example.net"}}},
		{"expanded base", Destination{Domain: "example.net", Host: "mx.example.net", TLSABase: "real.example.org."},
			Policy{ServerName: "real.example.org", Names: []string{"example.net", "mx.example.net", "real.example.org"}}},
		{"names given", Destination{Domain: "example.net", Host: "mx.example.net", TLSABase: "mx.example.net", DANENames: []string{"other.example"}},
			Policy{ServerName: "mx.example.net", Names: []string{"other.example", "mx.example.net"}}},
		{"a relay stands for the domain", Destination{Domain: "example.net", Relay: "via.example", Host: "via.example", TLSABase: "via.example"},
			Policy{ServerName: "via.example", Names: []string{"via.example"}, Ciphers: "AES128-SHA"}},
	} {
		tt.d.TLSAStatus, tt.d.TLSA = TLSAFound, []TLSA{badTLSA, record}
		tt.want.Mode, tt.want.TLSA, tt.want.Wildcards, tt.want.CommonName = DANE, []TLSA{record}, true, true
		p, err := r.Decide(tt.d)
		if err != nil {
			t.Errorf("%s: %v", tt.why, err)
		}
		wantPolicy(t, tt.why, p, tt.want)
	}
}

func TestVerifiedNames(t *testing.T) {
	r := New(Config{Anchors: "/a", Strictness: 2})
	for _, tt := range []struct {
		d         Destination
		sni, name string
	}{
		{Destination{Domain: "example.net", Host: "MX.example.net."}, "mx.example.net", "mx.example.net"},
		{Destination{Domain: "example.net", Relay: "via.example", Host: "via.example"}, "via.example", "via.example"},
		{Destination{Domain: "[192.0.2.1]"}, "", "192.0.2.1"},
		{Destination{Domain: "[IPv6:2001:db8::1]"}, "", "2001:db8::1"},
		{Destination{Domain: "example.net", Relay: "[192.0.2.1]"}, "", "192.0.2.1"},
	} {
		p, err := r.Decide(tt.d)
		if err != nil || p.ServerName != tt.sni || len(p.Names) != 1 || p.Names[0] != tt.name {
			t.Errorf("%+v: SNI %q, names %q, %v", tt.d, p.ServerName, p.Names, err)
		}
	}
}

// TestLocalTrouble: what cannot be kept defers, and says which file it is.
func TestLocalTrouble(t *testing.T) {
	for _, tt := range []struct {
		why   string
		c     Config
		texts []string
	}{
		{"strict without anchors", Config{Strictness: 2}, []string{"control/tlsstrictness", "trustanchors"}},
		{"unknown strictness", Config{Anchors: "/a", Strictness: 3}, []string{"control/tlsstrictness", "3"}},
		{"a verifying rule without anchors", Config{Destinations: []string{"=example.net:"}},
			[]string{"control/tlsdestinations", "=example.net", "no trust anchors"}},
		{"unreadable tlshosts", Config{Hosts: brokenFS("tlshosts/mx.example.net.pem")}, []string{"control/tlshosts/mx.example.net.pem", "permission"}},
		{"unreadable notlshosts", Config{Hosts: brokenFS("notlshosts/mx.example.net")}, []string{"control/notlshosts/mx.example.net"}},
		{"unreadable exhaustivelist", Config{Hosts: brokenFS("tlshosts/exhaustivelist")}, []string{"control/tlshosts/exhaustivelist"}},
	} {
		d := Destination{Domain: "example.net", Host: "mx.example.net"}
		_, err := New(tt.c).Decide(d)
		wantFailure(t, tt.why, err, Local, tt.texts...)
	}
	// TLSA records are as good as anchors for a rule that names none.
	r := New(Config{Destinations: []string{"=example.net:"}})
	d := Destination{Domain: "example.net", Host: "mx.example.net", TLSABase: "mx.example.net", TLSAStatus: TLSAFound, TLSA: []TLSA{goodTLSA}}
	if p, err := r.Decide(d); err != nil || p.Mode != DANE || !r.WantsTLSA(d) {
		t.Errorf("DANE without anchors: %v, %v", p.Mode, err)
	}
}

// brokenFS refuses to tell whether one file is there.
type brokenFS string

func (b brokenFS) Open(name string) (fs.File, error) {
	if name == string(b) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// unlisted is a directory of which only its names can be asked for.
type unlisted struct{ fs.StatFS }

func (unlisted) ReadDir(name string) ([]fs.DirEntry, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

// TestHold: what is there when rules are held is looked at as ever, what is not is
// not looked for again; where names cannot be listed, each is.
func TestHold(t *testing.T) {
	there := fstest.MapFS{"tlshosts/a.example.pem": {}, "notlshosts/b.example": {}}
	for what, hosts := range map[string]struct {
		fs.FS
		late Mode // of what comes afterwards
	}{
		"listed": {there, Opportunistic}, "not to be listed": {unlisted{there}, None},
	} {
		delete(there, "notlshosts/c.example")
		r := New(Config{Home: "/home", Anchors: "/a", Hosts: hosts.FS}).Hold()
		there["notlshosts/c.example"] = &fstest.MapFile{}
		for host, want := range map[string]Mode{"a.example": Verify, "b.example": None, "c.example": hosts.late, "d.example": Opportunistic} {
			if p, err := r.Decide(Destination{Domain: "example.net", Host: host}); err != nil || p.Mode != want {
				t.Errorf("%s: %s: mode %v, %v, want %v", what, host, p.Mode, err, want)
			}
		}
		delete(there, "notlshosts/b.example")
		if p, err := r.Decide(Destination{Domain: "example.net", Host: "b.example"}); err != nil || p.Mode != Opportunistic {
			t.Errorf("%s: what went away is still there: %v, %v", what, p.Mode, err)
		}
		there["notlshosts/b.example"] = &fstest.MapFile{}
	}
	if p, err := New(Config{}).Hold().Decide(Destination{Host: "a.example"}); err != nil || p.Mode != None {
		t.Errorf("without a directory: %v, %v", p.Mode, err)
	}
}

// openedFS remembers what was asked for.
type openedFS struct{ names *[]string }

func (o openedFS) Open(name string) (fs.File, error) {
	*o.names = append(*o.names, name)
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// TestHostFilePaths: a name from DNS becomes a path only if it is a host name.
func TestHostFilePaths(t *testing.T) {
	for _, tt := range []struct {
		host string
		path string // "" if none
	}{
		{"mx.example.net", "tlshosts/mx.example.net.pem"},
		{"MX.Example.net.", "tlshosts/mx.example.net.pem"},
		{"_under-score.example", "tlshosts/_under-score.example.pem"},
		{"../../etc/passwd", ""}, {"..", ""}, {".hidden", ""}, {"a..b", ""}, {"a/b", ""}, {"/etc", ""}, {"", ""},
		{"a\x00b", ""}, {"a b", ""}, {"grüße.example", ""}, {strings.Repeat("a", 254), ""}, {"a%2fb", ""}, {"mx\n", ""},
	} {
		var names []string
		r := New(Config{Home: "/home", Hosts: openedFS{&names}})
		if _, err := r.Decide(Destination{Domain: "example.net", Host: tt.host}); err != nil {
			t.Errorf("%q: %v", tt.host, err)
		}
		want := []string{tt.path, strings.TrimSuffix(strings.Replace(tt.path, "tls", "notls", 1), ".pem")}
		if tt.path == "" {
			want = nil
		}
		want = append(want, "tlshosts/exhaustivelist")
		if strings.Join(names, " ") != strings.Join(want, " ") {
			t.Errorf("%q: looked for %q, want %q", tt.host, names, want)
		}
	}
	r := New(Config{Home: "/home/", Hosts: controlFiles("tlshosts/mx.example.net.pem"), Destinations: []string{"-example.net:|AES128-SHA|7;2525"}})
	p, err := r.Decide(Destination{Domain: "example.net", Host: "mx.example.net"})
	if err != nil {
		t.Fatal(err)
	}
	wantPolicy(t, "tlshosts with a rule's port", p, Policy{Mode: Verify, ServerName: "mx.example.net", Names: []string{"mx.example.net"}, Wildcards: true,
		CommonName: true, Anchors: "/home/control/tlshosts/mx.example.net.pem", Ciphers: "AES128-SHA", Depth: 7, Port: 2525})
}

func TestDomainCerts(t *testing.T) {
	c := Config{Home: "/home", Anchors: "/a", ClientCert: "c.pem", ClientKey: "k.pem", DomainCerts: []string{
		"example.net:/n.pem|/n.key|pass|word", ".example.net:/sub.pem", "Example.org:rel.pem|rel.key", "broken.example:", "no colon secret",
	}}
	star := c
	star.DomainCerts = append([]string{"*:/star.pem||s"}, c.DomainCerts...)
	for _, tt := range []struct {
		c               Config
		sender          string
		cert, key, pass string
	}{
		{c, "a@example.net", "/n.pem", "/n.key", "pass|word"},
		{c, "a@EXAMPLE.net", "/n.pem", "/n.key", "pass|word"},
		{c, "a@deep.sub.example.net", "/sub.pem", "/sub.pem", ""},
		{c, `"a@b"@example.org`, "/home/rel.pem", "/home/rel.key", ""},
		{c, "a@elsewhere.example", "/home/c.pem", "/home/k.pem", ""},
		{c, "", "/home/c.pem", "/home/k.pem", ""},
		{c, "#@[]", "/home/c.pem", "/home/k.pem", ""},
		{star, "", "/star.pem", "/star.pem", "s"},
		{star, "a@elsewhere.example", "/star.pem", "/star.pem", "s"},
		{star, "a@example.net", "/n.pem", "/n.key", "pass|word"},
		{Config{Anchors: "/a"}, "a@example.net", "", "", ""},
	} {
		p, err := New(tt.c).Decide(Destination{Domain: "d.example", Host: "mx.d.example", Sender: tt.sender})
		if err != nil || p.Cert != tt.cert || p.Key != tt.key || p.KeyPass != tt.pass {
			t.Errorf("%q: %q %q %q %v", tt.sender, p.Cert, p.Key, p.KeyPass, err)
		}
	}
	r := New(c)
	_, err := r.Decide(Destination{Domain: "d.example", Sender: "a@broken.example"})
	wantFailure(t, "line without a certificate", err, Local, "control/domaincerts", "broken.example")
	if all := strings.Join(r.Complaints(), "\n"); strings.Count(all, "\n") != 1 || strings.Contains(all, "secret") {
		t.Errorf("complaints: %q", all)
	}
	if p, err := New(Config{DomainCerts: c.DomainCerts}).Decide(Destination{Domain: "d.example", Sender: "a@broken.example"}); err != nil || p.Cert != "" {
		t.Errorf("without TLS no certificate matters: %+v, %v", p, err)
	}
}

func TestErrorUnwraps(t *testing.T) {
	err := error(&Error{Local, fs.ErrPermission})
	if !errors.Is(err, fs.ErrPermission) || err.Error() != "local: permission denied" {
		t.Error(err)
	}
}
