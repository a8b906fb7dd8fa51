package fdconn

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

var records = map[string]struct {
	block string
	want  Records
	err   error
}{
	"failed":               {"", nil, ErrHandshake},
	"empty":                {"\x00\x00", nil, nil},
	"s6":                   {"SSL_PROTOCOL=TLSv1.3\x00SSL_CIPHER=X\x00SSL_TLS_SNI_SERVERNAME\x00\x00", Records{"SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=X", "SSL_TLS_SNI_SERVERNAME"}, nil},
	"ended by a close":     {"SSL_PROTOCOL=TLSv1.3\x00", Records{"SSL_PROTOCOL=TLSv1.3"}, nil},
	"short":                {"SSL_PROTOCOL=TLSv1.3\x00SSL_CIPH", nil, ErrBlock},
	"others' variables":    {"PATH=/tmp\x00LD_PRELOAD=x\x00SSL_CIPHER=y\x00\x00", Records{"SSL_CIPHER=y"}, nil},
	"newlines":             {"SSL_CLIENT_CERT=a\nb=c\n\x00\x00", Records{"SSL_CLIENT_CERT=a\nb=c\n"}, nil},
	"more after the block": {"SSL_A=b\x00\x00SSL_C=d\x00", nil, ErrBlock},
	"too long":             {"SSL_A=" + strings.Repeat("x", maxBlock) + "\x00\x00", nil, ErrBlock},
}

func TestParseRecords(t *testing.T) {
	for reason, c := range records {
		got, err := ParseRecords([]byte(c.block))
		if err != c.err || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v", reason, got, err)
		}
	}
	rs := Records{"SSL_A=1", "SSL_B=x=y", "SSL_A=2", "SSL_C"}
	for name, want := range map[string]string{"SSL_A": "2", "SSL_B": "x=y", "SSL_C": "", "SSL_": ""} {
		if got := rs.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
}

func FuzzParseRecords(f *testing.F) {
	for _, c := range records {
		f.Add([]byte(c.block[:min(len(c.block), 200)]))
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		rs, err := ParseRecords(block)
		if (len(block) == 0) != (err == ErrHandshake) || err != nil && rs != nil {
			t.Fatalf("%q: %q, %v", block, rs, err)
		}
		var again []byte
		for _, r := range rs {
			if !strings.HasPrefix(r, "SSL_") || strings.Contains(r, "\x00") {
				t.Fatalf("%q: record %q", block, r)
			}
			again = append(append(again, r...), 0)
		}
		if err != nil {
			return
		}
		if second, err := ParseRecords(append(again, 0)); err != nil || !slices.Equal(second, rs) {
			t.Fatalf("%q became %q, %v", rs, second, err)
		}
	})
}

func TestOffered(t *testing.T) {
	for reason, c := range map[string]struct {
		ctl, r, w string
		want      TLSFDs
		ok        bool
	}{
		"three":      {"3", "4", "5", TLSFDs{3, 4, 5}, true},
		"one":        {"9", "9", "9", TLSFDs{9, 9, 9}, true},
		"none":       {"", "", "", TLSFDs{}, false},
		"one absent": {"3", "", "5", TLSFDs{3, 0, 5}, false},
		"zero":       {"0", "4", "5", TLSFDs{0, 4, 5}, false},
		"no number":  {"3", "4x", "5", TLSFDs{3, 0, 5}, false},
		"negative":   {"3", "-4", "5", TLSFDs{3, 0, 5}, false},
		"too large":  {"3", "4", "99999999999", TLSFDs{3, 4, 0}, false},
	} {
		env := map[string]string{"SSLCTLFD": c.ctl, "SSLREADFD": c.r, "SSLWRITEFD": c.w}
		got, ok := Offered(func(name string) string { return env[name] })
		if got != c.want || ok != c.ok {
			t.Errorf("%s: %v %v", reason, got, ok)
		}
	}
}

// helper answers on ctl as a TLS helper would, in pieces; closes says whether it
// closes its end afterwards.
func helper(t *testing.T, ctl int, closes bool, pieces ...string) (command func() string) {
	done := make(chan string, 1)
	go func() {
		b := make([]byte, 16)
		n, _ := syscall.Read(ctl, b)
		for _, p := range pieces {
			WriteAll(ctl, []byte(p))
		}
		if closes {
			syscall.Close(ctl)
		} else {
			t.Cleanup(func() { syscall.Close(ctl) })
		}
		done <- string(b[:n])
	}()
	return func() string { return <-done }
}

func TestStartTLS(t *testing.T) {
	for reason, c := range map[string]struct {
		pieces []string
		closes bool
		want   Records
		err    error
	}{
		"at once":              {[]string{"SSL_PROTOCOL=x\x00\x00"}, true, Records{"SSL_PROTOCOL=x"}, nil},
		"kept open":            {[]string{"SSL_PROTOCOL=x\x00\x00"}, false, Records{"SSL_PROTOCOL=x"}, nil},
		"in pieces":            {[]string{"SSL_PROT", "OCOL=x", "\x00", "\x00"}, false, Records{"SSL_PROTOCOL=x"}, nil},
		"long":                 {[]string{"SSL_A=" + strings.Repeat("x", 60000), "\x00\x00"}, true, Records{"SSL_A=" + strings.Repeat("x", 60000)}, nil},
		"endless":              {[]string{strings.Repeat("x", maxBlock+4096)}, false, nil, ErrBlock},
		"failed":               {nil, true, nil, ErrHandshake},
		"silent":               {nil, false, nil, os.ErrDeadlineExceeded},
		"cut short by a crash": {[]string{"SSL_PROTOCOL=x"}, true, nil, ErrBlock},
	} {
		ours, theirs := socketpair(t)
		r, w := socketpair(t)
		command := helper(t, theirs, c.closes, c.pieces...)
		timeout := 20 * time.Second
		if reason == "silent" {
			timeout = 500 * time.Millisecond // the command has to be out by then
		}
		conn, rs, err := StartTLS(TLSFDs{ours, r, r}, timeout)
		if !errors.Is(err, c.err) || !slices.Equal(rs, c.want) {
			t.Errorf("%s: %d records, %v", reason, len(rs), err)
		}
		if said := command(); said != "Y" {
			t.Errorf("%s: said %q", reason, said)
		}
		if err == nil {
			WriteAll(w, []byte("clear"))
			b := make([]byte, 5)
			if _, err := io.ReadFull(conn, b); string(b) != "clear" {
				t.Errorf("%s: read %q, %v", reason, b, err)
			}
			conn.Close()
		}
		syscall.Close(w)
	}
}

// The three numbers may legally be one.
func TestStartTLSOnOneDescriptor(t *testing.T) {
	ours, theirs := socketpair(t)
	command := helper(t, theirs, false, "SSL_PROTOCOL=x\x00\x00")
	conn, rs, err := StartTLS(TLSFDs{ours, ours, ours}, 20*time.Second)
	if err != nil || rs.Get("SSL_PROTOCOL") != "x" || command() != "Y" {
		t.Fatalf("%q, %v", rs, err)
	}
	WriteAll(theirs, []byte("clear"))
	b := make([]byte, 5)
	if _, err := io.ReadFull(conn, b); string(b) != "clear" {
		t.Errorf("read %q, %v", b, err)
	}
	conn.Close()
}

func TestReadByte(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	io.WriteString(w, "Y")
	w.Close()
	for _, want := range []byte{'Y', 0} {
		if got := ReadByte(int(r.Fd())); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := ReadByte(-1); got != 0 {
		t.Errorf("%q without a descriptor", got)
	}
}
