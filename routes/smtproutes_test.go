package routes

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/internal/ascii"
	"postrider/internal/constmap"
)

// paths are the files of an SMTP in a directory.
func paths(dir string) (control, cdb, lock string) {
	return filepath.Join(dir, "smtproutes"), filepath.Join(dir, "run/smtproutes.cdb"), filepath.Join(dir, "run/smtproutes.lock")
}

// install writes smtproutes, as changed an hour ago, beside an empty run directory.
func install(t testing.TB, text string) string {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "run"), 0o755); err != nil {
		t.Fatal(err)
	}
	replace(t, dir, text, time.Now().Add(-time.Hour))
	return dir
}

// replace gives smtproutes a new content and mtime.
func replace(t testing.TB, dir, text string, mtime time.Time) {
	t.Helper()
	control, _, _ := paths(dir)
	if err := os.WriteFile(control, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(control, mtime, mtime); err != nil {
		t.Fatal(err)
	}
}

// lookup must succeed.
func lookup(t testing.TB, dir, host string) (Route, bool) {
	t.Helper()
	r, ok, err := OpenSMTP(paths(dir)).Lookup(host)
	if err != nil {
		t.Fatal(err)
	}
	return r, ok
}

// inRun lists the run directory.
func inRun(t testing.TB, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(dir, "run"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestSMTPLookup(t *testing.T) {
	const none = "none"
	tests := []struct {
		reason, text, host string
		want               any // Route, or none
	}{
		{"whole host", "a.example:relay.example\n", "a.example", Route{Relay: "relay.example"}},
		{"no line", "a.example:relay.example\n", "b.example", none},
		{"empty file", "", "b.example", none},
		{"a parent is not a suffix", "example:relay.example\n", "a.example", none},
		{"suffix", ".example:relay.example\n", "a.b.example", Route{Relay: "relay.example"}},
		{"the longer suffix wins", ".example:short\n.b.example:long\n.example:short\n", "a.b.example", Route{Relay: "long"}},
		{"a suffix is not the host", ".example:relay.example\n", "example", none},
		{"a suffix is a host too", ".example:relay.example\n", ".example", Route{Relay: "relay.example"}},
		{"default", ":relay.example\n", "a.example", Route{Relay: "relay.example"}},
		{"default comes last", ":relay.example\na.example:own\n:relay.example\n", "a.example", Route{Relay: "own"}},
		{"default for an empty host", ":relay.example\n", "", Route{Relay: "relay.example"}},
		{"empty relay", "a.example:\n", "a.example", Route{}},
		{"empty relay stops the search", ":relay.example\n.in.example:\n", "a.in.example", Route{}},
		{"empty relay with a port", "a.example::26\n", "a.example", Route{Port: 26}},
		{"mixed case in the file", "A.Example:Relay.example\n", "a.example", Route{Relay: "Relay.example"}},
		{"mixed case in the question", ".example:relay\n", "a.EXAMPLE", Route{Relay: "relay"}},
		{"not ASCII: case is kept", "Ä.example:relay\n", "ä.example", none},
		{"the last of two", "a:one\na:two\n", "a", Route{Relay: "two"}},
		{"the last of two, by case", "a:one\nA:two\n", "a", Route{Relay: "two"}},
		{"the last good one of two", "a:one\na:two:99999\n", "a", Route{Relay: "one"}},

		{"address as host", "[192.0.2.1]:relay.example\n", "[192.0.2.1]", Route{Relay: "relay.example"}},
		{"address as host, default", ":relay.example\n", "[192.0.2.1]", Route{Relay: "relay.example"}},
		{"IPv6 as host", "[2001:db8::1]:relay.example:26\n", "[2001:DB8::1]", Route{Relay: "relay.example", Port: 26}},
		{"IPv6 as host, RFC 5321 form", "[IPv6:2001:db8::1]:relay.example\n", "[IPv6:2001:db8::1]", Route{Relay: "relay.example"}},

		{"empty sender", "!@:bounces.example\n", "!@", Route{Relay: "bounces.example"}},
		{"empty sender has no default", ":relay.example\n", "!@", none},

		{"port", "a:relay:26\n", "a", Route{Relay: "relay", Port: 26}},
		{"port after a semicolon", "a:relay;465\n", "a", Route{Relay: "relay", Port: 465}},
		{"port 25 goes without saying", "a:relay:25\n", "a", Route{Relay: "relay"}},
		{"port left empty", "a:relay:\n", "a", Route{Relay: "relay"}},
		{"port with a remark", "a:relay:26 # old\n", "a", Route{Relay: "relay", Port: 26}},
		{"largest port", "a:relay:65535\n", "a", Route{Relay: "relay", Port: 65535}},
		{"port 0 (C84)", "a:relay:0\n:d\n", "a", Route{Relay: "d"}},
		{"port 70000 (C84)", "a:relay:70000\n:d\n", "a", Route{Relay: "d"}},
		{"endless port", "a:relay:" + strings.Repeat("9", 99) + "\n:d\n", "a", Route{Relay: "d"}},
		{"port in letters", "a:relay:smtp\n:d\n", "a", Route{Relay: "d"}},

		{"IPv4 relay", "a:192.0.2.1:26\n", "a", Route{Relay: "192.0.2.1", Port: 26}},
		{"IPv4 relay in brackets", "a:[192.0.2.1]\n", "a", Route{Relay: "192.0.2.1"}},
		{"IPv4 relay in brackets, port", "a:[192.0.2.1]:26\n", "a", Route{Relay: "192.0.2.1", Port: 26}},
		{"IPv6 relay in brackets", "a:[2001:DB8::1]\n", "a", Route{Relay: "2001:db8::1"}},
		{"IPv6 relay in brackets, port", "a:[2001:db8::1]:26\n", "a", Route{Relay: "2001:db8::1", Port: 26}},
		{"IPv6 relay in brackets, port 25", "a:[2001:db8::1]:25\n", "a", Route{Relay: "2001:db8::1"}},
		{"IPv6 relay in brackets, ;port", "a:[2001:db8::1];25\n", "a", Route{Relay: "2001:db8::1"}},
		{"IPv6 relay, RFC 5321 form", "a:[ipv6:2001:db8::1]\n", "a", Route{Relay: "2001:db8::1"}},
		{"IPv6 relay, zone", "a:[fe80::1%eth0]\n", "a", Route{Relay: "fe80::1%eth0"}},
		{"IPv6 relay, mapped", "a:[::ffff:192.0.2.1]\n", "a", Route{Relay: "192.0.2.1"}},
		{"bare IPv6 relay", "a:2001:db8::1\n", "a", Route{Relay: "2001:db8::1"}},
		{"bare IPv6 relay, ;port", "a:2001:db8::1;26\n", "a", Route{Relay: "2001:db8::1", Port: 26}},
		{"no address in brackets", "a:[relay]\n:d\n", "a", Route{Relay: "d"}},
		{"bracket not closed", "a:[192.0.2.1\n:d\n", "a", Route{Relay: "d"}},
		{"bracket closed too early", "a:[192.0.2.1]26\n:d\n", "a", Route{Relay: "d"}},
		{"too many colons", "a:relay:26:27\n:d\n", "a", Route{Relay: "d"}},

		{"user and password", "a:relay:587|me|secret\n", "a", Route{Relay: "relay", Port: 587, User: "me", Password: "secret"}},
		{"the password is the rest", "a:relay;587|me|a|b:c;d\n", "a", Route{Relay: "relay", Port: 587, User: "me", Password: "a|b:c;d"}},
		{"password in clear", "a:relay|me|!secret\n", "a", Route{Relay: "relay", User: "me", Password: "secret", Clear: true}},
		{"only the first ! means something", "a:relay|me|!!\n", "a", Route{Relay: "relay", User: "me", Password: "!", Clear: true}},
		{"no password", "a:relay|me\n", "a", Route{Relay: "relay", User: "me"}},
		{"no user", "a:relay||!x\n", "a", Route{Relay: "relay"}},
		{"user for an address", "a:[2001:db8::1]:26|me|p\n", "a", Route{Relay: "2001:db8::1", Port: 26, User: "me", Password: "p"}},
		{"user for the MX", "a:|me|p\n", "a", Route{User: "me", Password: "p"}},

		{"comments and blanks", "#a:no\n\n \t\na:relay \t\n", "a", Route{Relay: "relay"}},
		{"blanks around the relay", "a: relay : 26\n", "a", Route{Relay: "relay", Port: 26}},
		{"final dot of the relay", "a:relay.example.\n", "a", Route{Relay: "relay.example"}},
		{"no last line end", "a:relay", "a", Route{Relay: "relay"}},
		{"CR in the relay", "a:relay\r\n:d\n", "a", Route{Relay: "d"}},
		{"bad lines around a good one", "nonsense\n:::\na:b c\n\x00a:x\na:\x00\na:relay\n[::\na:x@y\n", "a", Route{Relay: "relay"}},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			dir := install(t, tt.text)
			for _, how := range []string{"held", "text, compiling", "cdb", "text"} {
				r, ok := lookup(t, dir, tt.host)
				if how == "held" {
					r, ok, _ = OpenSMTP(paths(dir)).Hold().Lookup(tt.host)
				}
				if want, found := tt.want.(Route); r != want || ok != found {
					t.Errorf("%s: %+v, %v, want %+v", how, r, ok, tt.want)
				}
				if how == "cdb" {
					if got := inRun(t, dir); got != "smtproutes.cdb smtproutes.lock" {
						t.Errorf("in run: %s", got)
					}
					if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
						t.Fatal(err)
					}
				}
			}
		})
	}
}

func TestSMTPMissing(t *testing.T) {
	dir := install(t, "a:old\n")
	lookup(t, dir, "a")
	control, _, _ := paths(dir)
	if err := os.Remove(control); err != nil {
		t.Fatal(err)
	}
	if r, ok := lookup(t, dir, "a"); ok {
		t.Errorf("a route from nowhere: %+v", r)
	}
	if r, ok, err := OpenSMTP(paths(dir)).Hold().Lookup("a"); ok || err != nil {
		t.Errorf("held: %+v, %v", r, err)
	}
}

// A control file that is there and cannot be read defers, even if the cdb is
// good; C84.
func TestSMTPUnreadableC84(t *testing.T) {
	for name, put := range map[string]func(control string) error{
		"opens and can't be read": func(control string) error { return os.Mkdir(control, 0o755) },
		// Of what root can't open, either, a link to itself is easily made.
		"can't be opened": func(control string) error { return os.Symlink(control, control) },
	} {
		dir := install(t, "")
		control, _, _ := paths(dir)
		if err := os.Remove(control); err != nil {
			t.Fatal(err)
		}
		if err := put(control); err != nil {
			t.Fatal(err)
		}
		for _, s := range []interface {
			Lookup(string) (Route, bool, error)
		}{OpenSMTP(paths(dir)), OpenSMTP(paths(dir)).Hold()} {
			_, ok, err := s.Lookup("a")
			if _, is := errors.AsType[*fs.PathError](err); !is || ok || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: %T: got %v, %v", name, s, ok, err)
			}
		}
	}
}

// FuzzSMTPRoutes: the cdb and the text never disagree, and neither fails.
func FuzzSMTPRoutes(f *testing.F) {
	f.Add("a.example:relay:26|u|!p\n.example:[2001:db8::1];25\n:d\n", "A.example")
	f.Add("!@:x\n#c\n[192.0.2.1]:r\n", "[192.0.2.1]")
	f.Add("a:1\nA:2\na:3:0\n\x00\n::::\n", "a")
	f.Add(":::%[\nb:[fe80::1%x y]\nc:fe80::1%eth0\n", "0")
	f.Fuzz(func(t *testing.T, text, host string) {
		if strings.IndexByte(host, 0) >= 0 || len(text) > 10_000 {
			return
		}
		content, err := build(text, []byte("stamp"))
		if err != nil {
			if errors.Is(err, constmap.ErrKey) {
				return
			}
			t.Fatal(err)
		}
		db, err := constmap.NewCDB(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		held := &Held{routes: table(text)}
		hosts := []string{host, bounces, "", "x." + host}
		for line := range lines(text) {
			key, _, _ := constmap.Cut(line)
			hosts = append(hosts, key, "x"+key)
		}
		for _, h := range hosts {
			h = ascii.ToLower(h)
			want, found := inText(text, h)
			got, ok, err := inCDB(db, h)
			if got != want || ok != found || err != nil {
				t.Fatalf("%q: cdb %+v, %v, %v; text %+v, %v", h, got, ok, err, want, found)
			}
			if got, ok, err := held.Lookup(h); got != want || ok != found || err != nil {
				t.Fatalf("%q: held %+v, %v, %v; text %+v, %v", h, got, ok, err, want, found)
			}
			if strings.ContainsAny(want.Relay, " \n\x00|[") {
				t.Errorf("relay %q", want.Relay)
			}
		}
	})
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{10, 100_000} {
		var text strings.Builder
		for i := range n {
			text.WriteString("host" + strconv.Itoa(i) + ".example:relay.example:587\n")
		}
		dir := install(b, text.String())
		for _, how := range []string{"cdb", "text"} {
			b.Run(how+"/"+strconv.Itoa(n), func(b *testing.B) {
				b.ReportAllocs()
				if how == "text" {
					if err := os.RemoveAll(filepath.Join(dir, "run")); err != nil {
						b.Fatal(err)
					}
				}
				for b.Loop() {
					lookup(b, dir, "host5.example")
				}
			})
		}
	}
}
