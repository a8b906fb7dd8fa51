package control

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"
)

// files makes a home of control files: name, content, name, content, …
func files(nameContent ...string) fstest.MapFS {
	m := fstest.MapFS{}
	for i := 0; i < len(nameContent); i += 2 {
		m["control/"+nameContent[i]] = &fstest.MapFile{Data: []byte(nameContent[i+1])}
	}
	return m
}

// untouched is what an installation with nothing but control/me says.
func untouched() Snapshot {
	return Snapshot{
		Me:             "mail.example",
		HeloHost:       "mail.example",
		TimeoutConnect: 60 * time.Second,
		TimeoutRemote:  1200 * time.Second,
	}
}

func TestLoad(t *testing.T) {
	is := func(change func(*Snapshot)) Snapshot {
		s := untouched()
		change(&s)
		return s
	}
	me := []string{"me", "mail.example\n"}
	tests := []struct {
		reason string
		files  []string
		want   Snapshot
	}{
		{"me is enough", me, untouched()},
		{"a last line without its end", []string{"me", "mail.example"}, untouched()},
		{"trailing blanks", []string{"me", "mail.example \t \n"}, untouched()},
		{"a second line in me", []string{"me", "mail.example\nother.example\n"}, untouched()},
		{"CR stays, as in stock", []string{"me", "mail.example\r\n"}, is(func(s *Snapshot) {
			s.Me, s.HeloHost = "mail.example\r", "mail.example\r"
		})},
		{"helohost alone", []string{"helohost", "h.example\n"}, is(func(s *Snapshot) {
			s.Me, s.HeloHost = "", "h.example"
		})},
		{"helohost wins", append(me, "helohost", "h.example\n"), is(func(s *Snapshot) { s.HeloHost = "h.example" })},
		{"empty helohost", append(me, "helohost", "\n"), untouched()},

		{"numbers", append(me, "timeoutconnect", "10\n", "timeoutremote", "300 \n", "timeoutdns", "7"), is(func(s *Snapshot) {
			s.TimeoutConnect, s.TimeoutRemote, s.TimeoutDNS = 10*time.Second, 300*time.Second, 7*time.Second
		})},
		{"leading digits count", append(me, "timeoutconnect", "10s # of course\n"), is(func(s *Snapshot) { s.TimeoutConnect = 10 * time.Second })},
		{"no digits", append(me, "timeoutconnect", "ten\n", "timeoutremote", " 5\n", "timeoutdns", "-1\n"), untouched()},
		{"zero", append(me, "timeoutconnect", "0\n", "timeoutremote", "000\n", "timeoutdns", "0\n"), untouched()},
		{"too large", append(me, "timeoutconnect", strings.Repeat("9", 40)), is(func(s *Snapshot) {
			s.TimeoutConnect = (1<<31 - 1) * time.Second
		})},

		{"ipme", append(me, "ipme", "# ours\n192.0.2.1\n\n2001:db8::1\n::ffff:192.0.2.2\nfe80::1%eth0\n"), is(func(s *Snapshot) {
			s.IPMe = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1"),
				netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("fe80::1")}
		})},
		{"a bad line in ipme", append(me, "ipme", "192.0.2.1/24\n192.0.2.256\n192.0.2.3\n"), is(func(s *Snapshot) {
			s.IPMe = []netip.Addr{netip.MustParseAddr("192.0.2.3")}
		})},

		{"anchors", append(me, "trustanchors", "/etc/ssl/certs/\n"), is(func(s *Snapshot) { s.TrustAnchors = "/etc/ssl/certs/" })},
		{"anchors, relative to the home", append(me, "trustanchors", "control/ca/\n"), is(func(s *Snapshot) {
			s.TrustAnchors = "/var/qmail/control/ca/"
		})},
		{"empty anchors", append(me, "trustanchors", "\n"), untouched()},
		{"certificate with its key", append(me, "clientcert", "/etc/c.pem\n"), is(func(s *Snapshot) {
			s.ClientCert, s.ClientKey = "/etc/c.pem", "/etc/c.pem"
		})},
		{"certificate and key", append(me, "clientcert", "/etc/c.pem\n", "clientkey", "control/k.pem\n"), is(func(s *Snapshot) {
			s.ClientCert, s.ClientKey = "/etc/c.pem", "/var/qmail/control/k.pem"
		})},
		{"clientcert.pem", append(me, "clientcert.pem", "-----BEGIN"), is(func(s *Snapshot) {
			s.ClientCert, s.ClientKey = "/var/qmail/control/clientcert.pem", "/var/qmail/control/clientcert.pem"
		})},
		{"clientcert before clientcert.pem", append(me, "clientcert.pem", "-----BEGIN", "clientcert", "/etc/c.pem"), is(func(s *Snapshot) {
			s.ClientCert, s.ClientKey = "/etc/c.pem", "/etc/c.pem"
		})},
		{"strictness", append(me, "tlsstrictness", "2\nno more\n"), is(func(s *Snapshot) { s.Strictness = 2 })},

		{"lists", append(me,
			"authsenders", "#no\n@a.example:relay|u|p\n\n \n @b:c\n",
			"domainips", "*:192.0.2.1",
			"domaincerts", "*:/c|/k\t\n",
			"qmtproutes", "a:b\nc:d\n",
			"tlsdestinations", "*:\r\n"), is(func(s *Snapshot) {
			s.AuthSenders = []string{"@a.example:relay|u|p", " @b:c"}
			s.DomainIPs = []string{"*:192.0.2.1"}
			s.DomainCerts = []string{"*:/c|/k"}
			s.QMTPRoutes = []string{"a:b", "c:d"}
			s.TLSDestinations = []string{"*:\r"}
		})},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			got, err := Load(files(tt.files...), "/var/qmail")
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

// C84: missing or garbled control files defer.
func TestLoadErrorsC84(t *testing.T) {
	tests := []struct {
		reason string
		files  fs.FS
		file   string
		line   int
		is     error
		text   string
	}{
		{"nothing at all", files(), "control/me", 0, fs.ErrNotExist, "control/me: file does not exist"},
		{"me is empty", files("me", "\nmail.example\n"), "control/me", 0, ErrEmpty, "control/me: no name in it"},
		{"both are empty", files("me", "", "helohost", " \n"), "control/me", 0, ErrEmpty, "control/me: no name in it"},
		{"strictness 3", files("me", "m", "tlsstrictness", "3\n"), "control/tlsstrictness", 1, ErrStrictness, "control/tlsstrictness:1: must be 0, 1 or 2"},
		{"strictness -1", files("me", "m", "tlsstrictness", "-1\n"), "control/tlsstrictness", 1, ErrStrictness, ""},
		{"strictness 2x", files("me", "m", "tlsstrictness", "2x\n"), "control/tlsstrictness", 1, ErrStrictness, ""},
		{"strictness empty", files("me", "m", "tlsstrictness", "\n2\n"), "control/tlsstrictness", 1, ErrStrictness, ""},
		{"unreadable list", refusing{files("me", "m"), "control/domainips"}, "control/domainips", 0, fs.ErrPermission, "control/domainips: permission denied"},
		{"unreadable me", refusing{files("helohost", "m"), "control/me"}, "control/me", 0, fs.ErrPermission, ""},
		{"unreadable number", refusing{files("me", "m"), "control/timeoutdns"}, "control/timeoutdns", 0, fs.ErrPermission, ""},
		{"unreadable certificate", refusing{files("me", "m"), "control/clientcert.pem"}, "control/clientcert.pem", 0, fs.ErrPermission, ""},
		{"the first error stays", refusing{files("tlsstrictness", "9"), "control/ipme"}, "control/ipme", 0, fs.ErrPermission, ""},
	}
	for _, tt := range tests {
		t.Run(tt.reason, func(t *testing.T) {
			s, err := Load(tt.files, "/var/qmail")
			ce, ok := errors.AsType[*Error](err)
			if !ok || ce.File != tt.file || ce.Line != tt.line || !errors.Is(err, tt.is) {
				t.Errorf("got %#v (%v)", err, err)
			}
			if tt.text != "" && err.Error() != tt.text {
				t.Errorf("text %q, want %q", err, tt.text)
			}
			if !reflect.DeepEqual(s, Snapshot{}) {
				t.Errorf("a snapshot beside an error: %+v", s)
			}
		})
	}
}

// refusing is a file system in which one file may not be opened.
type refusing struct {
	fs.FS
	name string
}

func (r refusing) Open(name string) (fs.File, error) {
	if name == r.name {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return r.FS.Open(name)
}

// A directory where a file should be is not a missing file.
func TestLoadDirectory(t *testing.T) {
	for _, fsys := range map[string]func(string) fs.FS{"os": os.DirFS, "Dir": func(d string) fs.FS { return Dir(d) }} {
		home := t.TempDir()
		if err := os.MkdirAll(filepath.Join(home, "control/smtproutes.d"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Join(home, "control/me"), 0o755); err != nil {
			t.Fatal(err)
		}
		_, err := Load(fsys(home), home)
		if ce, ok := errors.AsType[*Error](err); !ok || ce.File != "control/me" || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("mail.example\n", "60\n", "192.0.2.1\n", "2\n", "a:b|c\n#\n")
	f.Add("", "", "", "", "")
	f.Fuzz(func(t *testing.T, me, number, ips, strict, list string) {
		s, err := Load(files("me", me, "timeoutremote", number, "ipme", ips, "tlsstrictness", strict, "authsenders", list), "/q")
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if s.HeloHost == "" || strings.ContainsRune(s.HeloHost, '\n') {
			t.Errorf("helohost %q", s.HeloHost)
		}
		if s.TimeoutRemote < time.Second || s.Strictness < 0 || s.Strictness > 2 {
			t.Errorf("timeout %v, strictness %d", s.TimeoutRemote, s.Strictness)
		}
		for _, line := range s.AuthSenders {
			if line == "" || line[0] == '#' || strings.HasSuffix(line, " ") || strings.Contains(line, "\n") {
				t.Errorf("line %q", line)
			}
		}
	})
}

// home is a directory with as many files as a usual installation has.
func home(tb testing.TB) string {
	dir := tb.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "control"), 0o755); err != nil {
		tb.Fatal(err)
	}
	for name, content := range map[string]string{"me": "mail.example\n", "timeoutremote": "600\n", "trustanchors": "/etc/ssl/certs/\n", "authsenders": strings.Repeat("@a.example:relay|u|p\n", 20)} {
		if err := os.WriteFile(filepath.Join(dir, "control", name), []byte(content), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

func TestDir(t *testing.T) {
	h := home(t)
	want, err := Load(os.DirFS(h), h)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(Dir(h), h)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	big := strings.Repeat("@a.example:relay|u|p\n", 10_000) // more than one read
	if err := os.WriteFile(filepath.Join(h, "control/authsenders"), []byte(big), 0o644); err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(Dir(h), "control/authsenders"); string(b) != big || err != nil {
		t.Errorf("read %d of %d bytes: %v", len(b), len(big), err)
	}
	if _, err := fs.Stat(Dir(h), "control/authsenders"); err != nil {
		t.Error(err)
	}
}

// TestDirStat: whatever stands in the way of a name, Dir says of it what os.DirFS does.
func TestDirStat(t *testing.T) {
	h := t.TempDir()
	if err := os.WriteFile(filepath.Join(h, "file"), nil, 0); err != nil {
		t.Fatal(err)
	}
	for link, to := range map[string]string{"loop": "loop", "dangling": "nowhere", "link": "file"} {
		if err := os.Symlink(to, filepath.Join(h, link)); err != nil {
			t.Fatal(err)
		}
	}
	closed := filepath.Join(h, "closed") // to whoever is not root
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{h, closed, h + "/file", h + "/loop", h + "/nowhere"} {
		for _, name := range []string{"file", "link", "loop", "dangling", "nowhere", "file/below", "nowhere/below", "loop/below", "closed/x",
			".", "", "..", "../file", "/file", "file/", "etc", "x\x00y", strings.Repeat("x", 256), strings.Repeat("x/", 5000) + "x"} {
			want, wantErr := fs.Stat(os.DirFS(dir), name)
			got, err := fs.Stat(Dir(dir), name)
			if (err == nil) != (wantErr == nil) || err == nil && !os.SameFile(got, want) {
				t.Errorf("%q in %q: %v, want %v", name, dir, err, wantErr)
				continue
			}
			for _, kind := range []error{fs.ErrNotExist, fs.ErrPermission, fs.ErrInvalid, syscall.ENOTDIR, syscall.ELOOP, syscall.ENAMETOOLONG} {
				if errors.Is(err, kind) != errors.Is(wantErr, kind) {
					t.Errorf("%.20q in %q: %v, want %v", name, dir, err, wantErr)
				}
			}
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	h := home(b)
	for name, fsys := range map[string]fs.FS{"os.DirFS": os.DirFS(h), "Dir": Dir(h)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Load(fsys, h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
