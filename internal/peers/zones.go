package peers

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Trust says what a validating resolver shall find in a zone.
type Trust int

const (
	Secure   Trust = iota // signed, and its parent (or the resolver's anchor) vouches for the key
	Insecure              // unsigned, its parent says so
	Bogus                 // signed, but its parent vouches for another key
)

// Zone is one zone for Knot to serve. SOA, NS, and the delegations and DS records for zones below it in the same
// call are added.
type Zone struct {
	Name    string // fully qualified, with the final dot
	Trust   Trust
	Records string // lines of a master file (RFC 1035 §5), names relative to Name
}

// Zones is a running name server.
type Zones struct {
	Addr   string // IPv4 address; the port is 53, as delegations demand
	Tops   []string
	Anchor []string // DS records, one for each signed top zone
	*process
}

// SignedZones serves zones from addr:53 with Knot DNS, which signs them itself, and waits until it answers.
func SignedZones(t testing.TB, addr string, zones ...Zone) *Zones {
	t.Helper()
	dir := directory(t, "knot")
	for _, d := range []string{"/run", "/db", "/zones"} {
		if err := os.Mkdir(dir+d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	conf := dir + "/knot.conf"
	write(t, conf, knotConfig(dir, addr, zones))
	ds := map[string]string{}
	for _, z := range zones {
		if z.Trust != Insecure {
			ds[z.Name] = key(t, conf, z.Name)
		}
	}
	k := &Zones{Addr: addr}
	for _, z := range zones {
		write(t, dir+"/zones/"+z.Name+"zone", zoneText(z, addr, zones, ds))
		if parent(z, zones) != "" {
			continue
		}
		k.Tops = append(k.Tops, z.Name)
		if d, ok := ds[z.Name]; ok {
			k.Anchor = append(k.Anchor, delegationSigner(z, d))
		}
	}
	k.process = launch(t, dir, "/usr/sbin/knotd", "-c", conf)
	k.listening(t, addr+":53")
	return k
}

// knotConfig is the text of knot.conf(5). One key per zone signs everything, so there is one DS.
func knotConfig(dir, addr string, zones []Zone) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server:\n  rundir: %s/run\n  listen: %s@53\n  tcp-workers: 1\n  udp-workers: 1\n  background-workers: 1\n", dir, addr)
	fmt.Fprintf(&b, "log:\n  - target: stdout\n    any: info\n")
	fmt.Fprintf(&b, "database:\n  storage: %s/db\n", dir)
	fmt.Fprintf(&b, "policy:\n  - id: one\n    algorithm: ECDSAP256SHA256\n    single-type-signing: on\n    manual: on\n")
	fmt.Fprintf(&b, "zone:\n")
	for _, z := range zones {
		fmt.Fprintf(&b, "  - domain: %s\n    file: %s/zones/%szone\n    zonefile-sync: -1\n    journal-content: none\n", z.Name, dir, z.Name)
		if z.Trust != Insecure {
			fmt.Fprintf(&b, "    dnssec-signing: on\n    dnssec-policy: one\n")
		}
	}
	return b.String()
}

// key makes a zone's key and returns the data of its DS record with a SHA-256 digest: "TAG 13 2 DIGEST".
func key(t testing.TB, conf, zone string) string {
	t.Helper()
	if _, err := run("/", "keymgr", "-c", conf, zone, "generate", "algorithm=13", "ksk=yes", "zsk=yes"); err != nil {
		t.Fatal(err)
	}
	out, err := run("/", "keymgr", "-c", conf, zone, "ds")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		// The form is "zone. DS tag algorithm digest-type digest".
		if f := strings.Fields(line); len(f) == 6 && f[1] == "DS" && f[4] == "2" {
			return strings.Join(f[2:], " ")
		}
	}
	t.Fatalf("keymgr gave no SHA-256 DS for %s: %q", zone, out)
	return ""
}

// delegationSigner is the DS record that gives z its trust; for a bogus zone the digest is another's.
func delegationSigner(z Zone, data string) string {
	if z.Trust == Bogus {
		i := strings.LastIndexByte(data, ' ') + 1
		data = data[:i] + strings.Repeat("ab", (len(data)-i)/2)
	}
	return z.Name + " 60 IN DS " + data
}

// zoneText is the master file of z with what zones adds to it.
func zoneText(z Zone, addr string, zones []Zone, ds map[string]string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "$ORIGIN %s\n$TTL 60\n@ SOA ns hostmaster 1 3600 600 86400 5\n@ NS ns\nns A %s\n", z.Name, addr)
	for _, child := range zones {
		if parent(child, zones) != z.Name {
			continue
		}
		fmt.Fprintf(&b, "%s NS ns.%s\nns.%s A %s\n", child.Name, child.Name, child.Name, addr)
		if d, ok := ds[child.Name]; ok {
			fmt.Fprintln(&b, delegationSigner(child, d))
		}
	}
	return b.String() + z.Records + "\n"
}

// parent returns the name of the closest zone above z, empty when there is none.
func parent(z Zone, zones []Zone) string {
	best := ""
	for _, p := range zones {
		if p.Name != z.Name && strings.HasSuffix(z.Name, "."+p.Name) && len(p.Name) > len(best) {
			best = p.Name
		}
	}
	return best
}
