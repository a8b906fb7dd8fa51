// Package doors holds the walls of the house: which room may import which.
package doors

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// may lists the doors between rooms; what is absent is a wall. Programs wire
// rooms together and are checked for what they must not link instead.
var may = map[string]string{
	"internal/ascii":      "",
	"internal/smtp":       "internal/ascii",
	"internal/home":       "",
	"internal/solo":       "",
	"internal/control":    "",
	"internal/constmap":   "internal/ascii",
	"internal/mess822":    "internal/ascii",
	"internal/fdconn":     "",
	"internal/entry":      "",
	"internal/report":     "internal/smtp",
	"internal/qmtp":       "internal/smtp",
	"internal/spawn":      "internal/report",
	"internal/fair":       "",
	"internal/watch":      "",
	"internal/apart":      "",
	"internal/engine":     "internal/apart internal/control internal/fair internal/observe internal/report internal/smtp internal/spawn internal/watch remote resolver smtpc tlspolicy/handshake",
	"internal/observe":    "internal/fair internal/observe/state internal/report resolver",
	"resolver":            "internal/ascii",
	"routes":              "internal/ascii internal/constmap",
	"tcpto":               "",
	"tlspolicy":           "",
	"tlspolicy/handshake": "internal/apart internal/ascii tlspolicy",
	"smtpc":               "internal/smtp",
	"remote":              "resolver routes tlspolicy tcpto smtpc internal/control internal/report internal/smtp internal/qmtp",
	"internal/chain":      "internal/chain/job remote tlspolicy smtpc internal/smtp internal/fdconn",
	// The inbound half; it never imports remote or smtpc.
	"inbound":           "internal/ascii internal/smtp internal/fdconn",
	"inbound/smtpd":     "inbound internal/ascii internal/smtp internal/control internal/constmap",
	"inbound/ofmipd":    "inbound internal/ascii internal/smtp internal/control internal/constmap internal/mess822",
	"inbound/authup":    "inbound internal/control internal/fdconn",
	"inbound/fixsmtpio": "inbound internal/ascii internal/control internal/fdconn",
	"inbound/proxy":     "inbound internal/fdconn",
	"inbound/tlsd":      "inbound inbound/tlsd/options internal/fdconn",
	// For tests, demonstrations and benchmarks; no production room imports them.
	"internal/nettest":    "",
	"internal/authtest":   "",
	"internal/proctest":   "",
	"internal/sink":       "",
	"internal/dnstest":    "resolver",
	"internal/smtptest":   "internal/smtp internal/dnstest",
	"internal/queuetest":  "",
	"internal/peers":      "internal/nettest",
	"cmd/qmail-remote-io": "smtpc internal/report internal/fdconn internal/solo internal/smtp internal/qmtp internal/chain/job internal/entry",
	"internal/chain/job":  "internal/smtp smtpc",
	"cmd/ucspi-tlsc":      "tlspolicy tlspolicy/handshake internal/fdconn internal/entry",
	"cmd/qmail-tcpto":     "tcpto internal/home",
	"cmd/qmail-tcpok":     "tcpto internal/home",
	"cmd/qmail-rstat":     "internal/observe/state internal/home",

	"internal/observe/state": "",

	"internal/moody":    "",
	"internal/sendtest": "internal/spawn",

	"internal/smtptest/stage": "internal/smtptest internal/dnstest internal/nettest internal/report",

	"cmd/qmail-smtpd":                "inbound inbound/smtpd internal/home internal/entry",
	"cmd/qmail-ofmipd":               "inbound inbound/ofmipd internal/home internal/entry",
	"cmd/qmail-authup":               "inbound inbound/authup internal/home internal/entry",
	"cmd/checknotroot":               "internal/entry",
	"cmd/fixsmtpio":                  "inbound inbound/fixsmtpio internal/home internal/entry",
	"cmd/smtpd-starttls-proxy-io":    "inbound inbound/proxy internal/fdconn internal/entry",
	"cmd/qmail-qfilter-addtlsheader": "inbound internal/entry",
	"cmd/ucspi-tlsd":                 "inbound inbound/tlsd/options internal/fdconn internal/entry",
	"cmd/ucspi-tlsd-io":              "inbound inbound/tlsd inbound/tlsd/options internal/fdconn",
	"inbound/tlsd/options":           "",
}

// owner lists who may import a module from outside, by its path's beginning.
var owner = map[string]string{
	"github.com/miekg/dns":        "internal/dnstest",
	"github.com/colinmarc/cdb":    "internal/constmap",
	"github.com/emersion/go-sasl": "smtpc",
	"golang.org/x/net/idna":       "remote",
	"golang.org/x/sync":           "remote resolver",
	"github.com/prometheus":       "internal/observe",
	"crypto/tls":                  "tlspolicy/handshake inbound/tlsd internal/sink internal/moody internal/smtptest internal/peers",
}

// imports gives what each package of the module imports, tests not counted.
func imports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "postrider/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	list := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		list[strings.TrimPrefix(f[0], "postrider/")] = f[1:]
	}
	return list
}

func free(pkg string) bool {
	return strings.HasPrefix(pkg, "bench") || strings.HasPrefix(pkg, "examples/") || pkg == "cmd/qmail-remote" || pkg == "cmd/qmail-rspawn"
}

func TestDoors(t *testing.T) {
	list := imports(t)
	for pkg, imported := range list {
		doors, known := may[pkg]
		if !known && !free(pkg) && pkg != "internal/doors" {
			t.Errorf("%s: no room of that name; add it to may, with its doors", pkg)
		}
		for _, i := range imported {
			room, ours := strings.CutPrefix(i, "postrider/")
			if ours && !free(pkg) && !slices.Contains(strings.Fields(doors), room) {
				t.Errorf("%s imports %s: a wall", pkg, room)
			}
		}
	}
}

func TestOwners(t *testing.T) {
	for pkg, imported := range imports(t) {
		for _, i := range imported {
			for module, owners := range owner {
				if (i == module || strings.HasPrefix(i, module+"/")) && !free(pkg) && !slices.Contains(strings.Fields(owners), pkg) {
					t.Errorf("%s imports %s, which belongs to %s", pkg, i, owners)
				}
			}
		}
	}
}

// TestTestRooms: what exists for tests is not linked into what carries mail.
func TestTestRooms(t *testing.T) {
	for pkg, imported := range imports(t) {
		production := strings.HasPrefix(pkg, "cmd/") || pkg == "remote" || pkg == "smtpc"
		for _, i := range imported {
			if production && (strings.HasSuffix(i, "test") || strings.HasSuffix(i, "/sink") || strings.HasSuffix(i, "/peers") || strings.HasSuffix(i, "/stage") || strings.HasSuffix(i, "/moody")) {
				t.Errorf("%s imports %s, which is for tests", pkg, i)
			}
		}
	}
}

// TestNotLinked: what is exec'd for each delivery has no metrics in it.
func TestNotLinked(t *testing.T) {
	for _, program := range []string{"qmail-remote", "qmail-remote-io", "ucspi-tlsc", "qmail-rstat"} {
		out, err := exec.Command("go", "list", "-deps", "postrider/cmd/"+program).Output()
		if err != nil {
			t.Fatalf("go list: %v", err)
		}
		if strings.Contains(string(out), "github.com/prometheus/") {
			t.Errorf("%s has prometheus linked", program)
		}
	}
}
