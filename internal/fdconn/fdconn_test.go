package fdconn

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func socketpair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := syscall.Pipe2(fds[:], syscall.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func newConn(t *testing.T, r, w int) *Conn {
	t.Helper()
	c, err := New(r, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// pairs are connections in the forms in which UCSPI gives them.
func pairs(t *testing.T) map[string][2]*Conn {
	all := map[string][2]*Conn{}
	a, b := socketpair(t)
	all["one socket"] = [2]*Conn{newConn(t, a, a), newConn(t, b, b)}
	a, b = socketpair(t)
	a2, err := syscall.Dup(a)
	if err != nil {
		t.Fatal(err)
	}
	all["a socket twice"] = [2]*Conn{newConn(t, a, a2), newConn(t, b, b)}
	r1, w1 := pipe(t)
	r2, w2 := pipe(t)
	all["two pipes"] = [2]*Conn{newConn(t, r1, w2), newConn(t, r2, w1)}
	return all
}

func TestHalfClose(t *testing.T) {
	for kind, c := range pairs(t) {
		a, b := c[0], c[1]
		if _, err := a.Write([]byte("question")); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := a.CloseWrite(); err != nil {
			t.Errorf("%s: CloseWrite: %v", kind, err)
		}
		if got, err := io.ReadAll(b); string(got) != "question" || err != nil {
			t.Errorf("%s: got %q, %v", kind, got, err)
		}
		if _, err := b.Write([]byte("answer")); err != nil {
			t.Errorf("%s: after the end of the other: %v", kind, err)
		}
		b.Close()
		if got, err := io.ReadAll(a); string(got) != "answer" || err != nil {
			t.Errorf("%s: got %q, %v", kind, got, err)
		}
		if err := a.CloseRead(); err != nil {
			t.Errorf("%s: CloseRead: %v", kind, err)
		}
	}
}

func TestDeadlines(t *testing.T) {
	for kind, c := range pairs(t) {
		a := c[0]
		if err := a.SetDeadline(time.Unix(1, 0)); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		var ne net.Error
		_, err := a.Read(make([]byte, 1))
		if !errors.As(err, &ne) || !ne.Timeout() || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: reading: %v", kind, err)
		}
		if _, err := a.Write([]byte("x")); !errors.As(err, &ne) || !ne.Timeout() {
			t.Errorf("%s: writing: %v", kind, err)
		}
		if a.SetReadDeadline(time.Time{}) != nil || a.SetWriteDeadline(time.Time{}) != nil {
			t.Errorf("%s: deadlines cannot be taken back", kind)
		}
		if _, err := a.Write([]byte("x")); err != nil {
			t.Errorf("%s: after the deadline: %v", kind, err)
		}
	}
}

// A full pipe keeps the writer until the deadline; the other way is not concerned.
func TestBlockedWrite(t *testing.T) {
	for kind, c := range pairs(t) {
		a, b := c[0], c[1]
		a.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		n, err := a.Write(make([]byte, 4<<20))
		if !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n == 4<<20 {
			t.Errorf("%s: %d bytes, %v", kind, n, err)
		}
		if _, err := b.Write([]byte("x")); err != nil {
			t.Errorf("%s: the other way: %v", kind, err)
		}
	}
}

func TestCloseWakes(t *testing.T) {
	for kind, c := range pairs(t) {
		a := c[0]
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := a.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("%s: %v", kind, err)
			}
		})
		a.Close()
		wg.Wait()
		if _, err := a.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: writing: %v", kind, err)
		}
	}
}

func TestBrokenPipe(t *testing.T) {
	for kind, c := range pairs(t) {
		c[1].Close()
		if _, err := c[0].Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestNotDescriptors(t *testing.T) {
	r, w := pipe(t)
	syscall.Close(r)
	for reason, fds := range map[string][2]int{"closed": {r, w}, "closed for writing": {w, r}, "negative": {-1, -1}} {
		if c, err := New(fds[0], fds[1]); err == nil {
			c.Close()
			t.Errorf("%s: no error", reason)
		}
		if reason == "closed for writing" {
			return // it has closed w, as its own
		}
	}
}

// Descriptor 0 stays open and what it is: os.Stdin may be known to the poller.
func TestLowDescriptors(t *testing.T) {
	c, err := New(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if _, err := os.Stdin.Stat(); err != nil {
		t.Errorf("descriptor 0: %v", err)
	}
}

// Two Copies between two pairs carry everything, both ways at once, through
// buffers much smaller than that.
func TestCopyBothWays(t *testing.T) {
	for kind, c := range pairs(t) {
		r1, w1 := pipe(t)
		r2, w2 := pipe(t)
		inner, end := newConn(t, r1, w2), newConn(t, r2, w1)
		near, far := c[0], c[1] // near | far ↔ inner | end
		var wg sync.WaitGroup
		payload := bytes.Repeat([]byte("0123456789abcdef"), 5<<20/16)
		send := func(c *Conn) {
			if _, err := c.Write(payload); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			c.CloseWrite()
		}
		receive := func(c *Conn) {
			if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%s: got %d bytes, %v", kind, len(got), err)
			}
		}
		pump := func(dst, src *Conn) {
			if r, w := Copy(dst, src); r != nil || w != nil {
				t.Errorf("%s: %v, %v", kind, r, w)
			}
		}
		for _, f := range []func(){
			func() { send(near) }, func() { send(end) }, func() { receive(near) }, func() { receive(end) },
			func() { pump(inner, far) }, func() { pump(far, inner) },
		} {
			wg.Go(f)
		}
		wg.Wait()
	}
}

// A side that takes no more is told to the other as a broken pipe.
func TestCopyToTheDead(t *testing.T) {
	for kind, c := range pairs(t) {
		r, w := pipe(t)
		syscall.Close(r)
		dead := newConn(t, w, w)
		if _, err := c[0].Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if reading, writing := Copy(dead, c[1]); reading != nil || !errors.Is(writing, syscall.EPIPE) {
			t.Errorf("%s: %v, %v", kind, reading, writing)
		}
		if kind == "one socket" || kind == "a socket twice" {
			continue // a socket shut for reading by one of us still takes bytes in Linux
		}
		if _, err := c[0].Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: the source writes on: %v", kind, err)
		}
	}
}

// A source that breaks is an end for the other side all the same.
func TestCopyFromTheBroken(t *testing.T) {
	for kind, c := range pairs(t) {
		src := newConn(t, open2(t), open2(t))
		src.Close()
		if reading, _ := Copy(c[0], src); !errors.Is(reading, net.ErrClosed) {
			t.Errorf("%s: %v", kind, reading)
		}
		if got, err := io.ReadAll(c[1]); len(got) != 0 || err != nil {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
}

func open2(t *testing.T) int {
	r, w := pipe(t)
	t.Cleanup(func() { syscall.Close(w) })
	return r
}

func TestChild(t *testing.T) {
	r, w := pipe(t)
	null, err := syscall.Open("/dev/null", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(null)
	c := Child{
		Path: "/bin/sh", Args: []string{"sh", "-c", `echo "$X" >&5; test -e /proc/$$/fd/4 || echo none >&5; exit 7`},
		Env: []string{"X=y", "PATH=/bin:/usr/bin"}, Files: []int{null, null, 2, Closed, Closed, w}, Bound: true,
	}
	pid, err := c.Start()
	if err != nil {
		t.Fatal(err)
	}
	syscall.Close(w)
	out, err := io.ReadAll(os.NewFile(uintptr(r), "pipe"))
	if err != nil || string(out) != "y\nnone\n" {
		t.Errorf("got %q, %v", out, err)
	}
	if code, err := Wait(pid); code != 7 || err != nil {
		t.Errorf("exit %d, %v", code, err)
	}
	if _, err := Wait(pid); err == nil {
		t.Error("it can be waited for twice")
	}
	c.Args[2] = "kill -TERM $$"
	c.Files[5] = Closed
	if pid, err = c.Start(); err != nil {
		t.Fatal(err)
	}
	if code, err := Wait(pid); code != 128+15 || err != nil {
		t.Errorf("killed: %d, %v", code, err)
	}
	c.Path = "/nonexistent"
	if _, err := c.Start(); !errors.Is(err, syscall.ENOENT) {
		t.Errorf("no program: %v", err)
	}
}

func TestInherited(t *testing.T) {
	r, w := pipe(t)
	defer syscall.Close(w)
	if _, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(r), syscall.F_SETFD, 0); e != 0 {
		t.Fatal(e)
	}
	files := Inherited(max(r, w) + 1)
	if files[0] != 0 || files[r] != r || files[w] != Closed {
		t.Errorf("%d inherited, %d not: %v", r, w, files)
	}
	syscall.Close(r)
	if slices.Contains(Inherited(max(r, w) + 1)[3:], r) {
		t.Errorf("%d is closed", r)
	}
}

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
			timeout = 50 * time.Millisecond
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
