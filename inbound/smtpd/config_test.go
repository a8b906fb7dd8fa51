package smtpd

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/inbound"
	"postrider/internal/constmap"
	"postrider/internal/queuetest"
	"postrider/internal/smtp"
)

// controls makes a home with these control files.
func controls(t *testing.T, files map[string]string) queuetest.Home {
	t.Helper()
	home := queuetest.New(t)
	for name, content := range files {
		home.Control(t, name, content)
	}
	return home
}

func TestLoad(t *testing.T) {
	home := controls(t, map[string]string{"timeoutsmtpd": "0", "databytes": "77x", "badmailfrom": "A@b\n#c@d\n\n@e\n"})
	c, err := load(string(home), inbound.Env{"TCPLOCALIP=1.2.3.4"})
	if err != nil {
		t.Fatal(err)
	}
	if c.greeting != "me.example" || c.localIPHost != "me.example" || c.timeout != time.Second || c.databytes != 77 || c.smtputf8 || c.rcpts.limited {
		t.Errorf("%+v", c)
	}
	if c.remoteIP != "unknown" || c.remoteHost != "unknown" || c.hasInfo || c.local != "1.2.3.4" || c.mayRelay {
		t.Errorf("%+v", c)
	}
	for sender, want := range map[string]bool{"a@B": true, "#c@d": false, "": false, "@E": true} {
		if _, bad := c.badSenders.Lookup(sender); bad != want {
			t.Errorf("%s in badmailfrom: %v", sender, bad)
		}
	}
	home = controls(t, map[string]string{
		"smtpgreeting": "greet you \t\nmore\n", "localiphost": "ip.example", "timeoutsmtpd": "7", "databytes": "1", "smtputf8": "1", "rcpthosts": "",
	})
	c, err = load(string(home), inbound.Env{"DATABYTES=5", "RELAYCLIENT=", "TCPREMOTEIP=::1", "TCPREMOTEHOST=", "TCPREMOTEINFO=", "TCPLOCALHOST=l", "TCPLOCALIP=9"})
	if err != nil {
		t.Fatal(err)
	}
	if c.greeting != "greet you" || c.localIPHost != "ip.example" || c.timeout != 7*time.Second || c.databytes != 5 || !c.smtputf8 || !c.rcpts.limited {
		t.Errorf("%+v", c)
	}
	if c.remoteIP != "::1" || c.remoteHost != "" || !c.hasInfo || c.remoteInfo != "" || c.local != "l" || !c.mayRelay || c.relay != "" {
		t.Errorf("%+v", c)
	}
}

func TestLoadErrors(t *testing.T) {
	for _, file := range []string{"smtpgreeting", "localiphost", "timeoutsmtpd", "databytes", "smtputf8", "badmailfrom", "rcpthosts"} {
		home := queuetest.New(t)
		if err := os.Mkdir(filepath.Join(string(home), "control", file), 0o755); err != nil { // what root cannot read either
			t.Fatal(err)
		}
		if _, err := load(string(home), nil); err == nil {
			t.Errorf("%s is a directory, and no error", file)
		}
	}
	home := controls(t, map[string]string{"rcpthosts": "a", "morercpthosts.cdb": "no cdb"})
	if _, err := load(string(home), nil); err == nil {
		t.Error("a damaged morercpthosts.cdb is no error")
	}
	if err := os.Remove(filepath.Join(string(home), "control/rcpthosts")); err != nil {
		t.Fatal(err)
	}
	if _, err := load(string(home), nil); err != nil {
		t.Errorf("morercpthosts.cdb without rcpthosts: %v", err)
	}
	if err := os.Remove(filepath.Join(string(home), "control/me")); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{string(home), "/nonexistent"} {
		if _, err := load(home, nil); err == nil {
			t.Errorf("%s: no greeting, and no error", home)
		}
	}
}

func TestNumber(t *testing.T) {
	for s, want := range map[string]uint64{
		"": 0, "x": 0, "-1": 0, "+1": 0, " 1": 0, "12": 12, "12x": 12, "007": 7,
		"18446744073709551615": math.MaxUint64, "18446744073709551616": math.MaxUint64, "99999999999999999999999": math.MaxUint64,
	} {
		if got := number(s); got != want {
			t.Errorf("%q: %d", s, got)
		}
	}
}

// S19: who is mail taken for.
func TestRcptHosts(t *testing.T) {
	b := constmap.NewBuilder(nil)
	b.Put([]byte("more.example"), nil)
	b.Put([]byte(".deep.example"), nil)
	cdb, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	home := controls(t, map[string]string{"rcpthosts": "here.com\n.Sub.com\n[127.0.0.1]\n", "morercpthosts.cdb": string(cdb)})
	c, err := load(string(home), nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{
		"a@here.com": true, "a@HERE.COM": true, "a@x.here.com": false, "a@here": false, "a@xhere.com": false, "a@here.com.": false,
		"a@x.Sub.com": true, "a@y.x.sub.com": true, "a@sub.com": false, "a@.sub.com": true, "a@xsub.com": false,
		"local": true, "": true, "a@": false, "@here.com": true, "@": false,
		"a@b@here.com": true, "a@here.com@b": false, "a%here.com@b": false, "b!a@here.com": true,
		"a@[127.0.0.1]": true, "a@[127.0.0.2]": false,
		"a@more.example": true, "a@More.Example": true, "a@x.more.example": false, "a@x.deep.example": true, "a@deep.example": false,
	} {
		if got, err := c.rcpts.allow(address); got != want || err != nil {
			t.Errorf("%s: %v, %v", address, got, err)
		}
	}
	everything, err := load(string(queuetest.New(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	nothing, err := load(string(controls(t, map[string]string{"rcpthosts": "\n#\n"})), nil)
	if err != nil {
		t.Fatal(err)
	}
	for address, local := range map[string]bool{"a@b": false, "a@": false, "a": true} {
		if ok, err := everything.rcpts.allow(address); !ok || err != nil {
			t.Errorf("%s without rcpthosts: %v, %v", address, ok, err)
		}
		if ok, err := nothing.rcpts.allow(address); ok != local || err != nil {
			t.Errorf("%s with an empty rcpthosts: %v, %v", address, ok, err)
		}
	}
}

// slowAllow is allow by the rule as one would say it: the domain is listed, or
// some ".rest" that it ends in is.
func slowAllow(listed []string, address string) bool {
	at := strings.LastIndex(address, "@")
	if at < 0 {
		return true
	}
	host := strings.ToLower(address[at+1:])
	for _, l := range listed {
		if host != "" && (host == l || strings.HasPrefix(l, ".") && strings.HasSuffix(host, l)) {
			return true
		}
	}
	return false
}

// S19: ten thousand addresses of the parts that matter.
func TestRcptHostsMany(t *testing.T) {
	listed := []string{"a.b", ".b.a", ".c", "b", "a.a.a", "..", "c."}
	c, err := load(string(controls(t, map[string]string{"rcpthosts": strings.Join(listed, "\n")})), nil)
	if err != nil {
		t.Fatal(err)
	}
	parts := []string{"a", "b", "c", ".", "@", "B"}
	for number := range 6 * 6 * 6 * 6 * 6 * 6 {
		address := ""
		for n := number; n > 0; n /= 6 {
			address += parts[n%6]
		}
		if got, err := c.rcpts.allow(address); got != slowAllow(listed, address) || err != nil {
			t.Fatalf("%s: %v, %v", address, got, err)
		}
	}
}

func TestDamagedCDB(t *testing.T) {
	b := constmap.NewBuilder(nil)
	for i := range 100 {
		b.Put([]byte("host"+strconv.Itoa(i)), nil)
	}
	cdb, err := b.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	home := controls(t, map[string]string{"rcpthosts": "a", "morercpthosts.cdb": string(cdb[:2500])})
	s, err := newSession(string(home), nil)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for i := range 100 {
		path, _ := smtp.ParsePath("TO:<x@host" + strconv.Itoa(i) + ">")
		if _, err := s.Rcpt(path); err == noControls {
			refused++
		} else if err != nil && err != noRelay {
			t.Errorf("host%d: %v", i, err)
		}
	}
	if refused == 0 {
		t.Error("a cdb without its tables is believed")
	}
}
