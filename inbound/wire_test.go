package inbound

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fdconn"
)

func socketpair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

func pipe(t *testing.T) (r, w int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// wires are Descriptors in the forms in which a UCSPI server gives them, with
// the client's ends.
func wires(t *testing.T, patience time.Duration) map[string][2]*Descriptors {
	a, b := socketpair(t)
	a2, err := unix.FcntlInt(uintptr(a), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		t.Fatal(err)
	}
	r1, w1 := pipe(t)
	r2, w2 := pipe(t)
	all := map[string][2]*Descriptors{
		"a socket":  {{a, a2, patience}, {b, b, 0}},
		"two pipes": {{r1, w2, patience}, {r2, w1, 0}},
	}
	t.Cleanup(func() {
		for _, pair := range all {
			for _, d := range pair {
				unix.Close(d.In)
				unix.Close(d.Out)
			}
		}
	})
	return all
}

func blocking(t *testing.T, fd int) bool {
	t.Helper()
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&unix.O_NONBLOCK == 0
}

// Much more than any buffer goes both ways at once, and the descriptors stay as
// they were.
func TestDescriptors(t *testing.T) {
	for kind, pair := range wires(t, time.Minute) {
		server, client := pair[0], pair[1]
		payload := bytes.Repeat([]byte("0123456789abcdef"), 3<<20/16)
		var wg sync.WaitGroup
		for _, way := range [][2]*Descriptors{{server, client}, {client, server}} {
			wg.Go(func() {
				if n, err := way[0].Write(payload); n != len(payload) || err != nil {
					t.Errorf("%s: wrote %d: %v", kind, n, err)
				}
			})
			wg.Go(func() {
				got := make([]byte, len(payload))
				if _, err := io.ReadFull(way[1], got); err != nil || !bytes.Equal(got, payload) {
					t.Errorf("%s: read: %v", kind, err)
				}
			})
		}
		wg.Wait()
		if !blocking(t, server.In) || !blocking(t, server.Out) {
			t.Errorf("%s: no longer in blocking mode", kind)
		}
	}
}

func TestDescriptorsEnd(t *testing.T) {
	for kind, pair := range wires(t, time.Minute) {
		server, client := pair[0], pair[1]
		client.Write([]byte("last"))
		unix.Close(client.Out)
		if client.Out != client.In {
			unix.Close(client.In)
		}
		client.In, client.Out = -1, -1 // closed
		if got, err := io.ReadAll(server); string(got) != "last" || err != nil {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
		if _, err := server.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("%s: writing: %v", kind, err)
		}
	}
}

// S16: a client that says nothing, and one that reads nothing.
func TestPatience(t *testing.T) {
	for kind, pair := range wires(t, 20*time.Millisecond) {
		server := pair[0]
		begun := time.Now()
		if _, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: reading: %v", kind, err)
		}
		if waited := time.Since(begun); waited < server.Patience {
			t.Errorf("%s: gave up after %v", kind, waited)
		}
		if n, err := server.Write(make([]byte, 4<<20)); !errors.Is(err, os.ErrDeadlineExceeded) || n == 0 || n >= 4<<20 {
			t.Errorf("%s: writing: %d, %v", kind, n, err)
		}
	}
	for _, d := range []Descriptors{{1 << 20, 1 << 20, 0}, {1 << 20, 1 << 20, time.Second}} {
		if _, err := d.Read(make([]byte, 1)); err == nil {
			t.Errorf("descriptor %d can be read", d.In)
		}
		if _, err := d.Write(make([]byte, 1)); err == nil {
			t.Errorf("descriptor %d can be written", d.Out)
		}
	}
}

func TestFindHelper(t *testing.T) {
	d := &Descriptors{}
	h := FindHelper(Env{"SSLCTLFD=5", "SSLREADFD=6", "SSLWRITEFD=7"}, d, time.Second)
	if h == nil || h.FDs != (fdconn.TLSFDs{Ctl: 5, Read: 6, Write: 7}) || h.Wire != d || h.Time != time.Second {
		t.Errorf("%+v", h)
	}
	for _, env := range []Env{nil, {"SSLCTLFD=5", "SSLREADFD=6"}, {"SSLCTLFD=0", "SSLREADFD=6", "SSLWRITEFD=7"}, {"SSLCTLFD=x", "SSLREADFD=6", "SSLWRITEFD=7"}} {
		if h := FindHelper(env, d, 0); h != nil {
			t.Errorf("%q: %+v", env, h)
		}
	}
	if _, err := (*Helper)(nil).Start(nil); !errors.Is(err, ErrNoHelper) {
		t.Error(err)
	}
}

// helper is a UCSPI-TLS server that does no TLS: cleartext is what the test
// writes to and reads from.
type helper struct {
	ctl       int
	cleartext *Descriptors
	env       Env
}

// newHelper's descriptors are the program's to close; one socket for both
// directions if one is true.
func newHelper(t *testing.T, one bool) *helper {
	t.Helper()
	ctl, theirs := socketpair(t)
	r1, w1 := pipe(t)
	r2, w2 := pipe(t)
	fds := [3]int{theirs, r1, w2}
	h := &helper{ctl: ctl, cleartext: &Descriptors{In: r2, Out: w1, Patience: time.Minute}}
	if one {
		for _, fd := range []int{r1, w1, r2, w2} {
			unix.Close(fd)
		}
		a, b := socketpair(t)
		fds = [3]int{theirs, b, b}
		h.cleartext = &Descriptors{In: a, Out: a, Patience: time.Minute}
	}
	for i, name := range []string{"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"} {
		h.env = append(h.env, name+"="+strconv.Itoa(fds[i]))
	}
	t.Cleanup(func() {
		for _, fd := range []int{ctl, theirs, h.cleartext.In, h.cleartext.Out} {
			unix.Close(fd)
		}
	})
	return h
}

// answer waits for the command byte and gives an answer to it.
func (h *helper) answer(t *testing.T, block string) {
	t.Helper()
	var b [8]byte
	if n, err := unix.Read(h.ctl, b[:]); n != 1 || b[0] != 'Y' || err != nil {
		t.Errorf("the helper was told %q, %v", b[:max(n, 0)], err)
	}
	unix.Write(h.ctl, []byte(block))
	unix.Shutdown(h.ctl, unix.SHUT_WR)
}

func TestHelperStart(t *testing.T) {
	for _, one := range []bool{false, true} {
		for kind, pair := range wires(t, time.Minute) {
			h := newHelper(t, one)
			server, client := pair[0], pair[1]
			client.Write([]byte("evil\r\n"))
			conn := NewConn(server)
			if _, err := conn.Next(); err != nil {
				t.Fatal(err)
			}
			var wg sync.WaitGroup
			wg.Go(func() { h.answer(t, "SSL_PROTOCOL=TLSv1.3\x00SSL_CIPHER=X\x00PATH=/evil\x00\x00") })
			records, err := FindHelper(h.env, server, time.Minute).Start(conn)
			wg.Wait()
			if err != nil || records.Get("SSL_CIPHER") != "X" || records.Get("PATH") != "" {
				t.Fatalf("%s: %q, %v", kind, records, err)
			}
			h.cleartext.Write([]byte("EHLO x\r\n"))
			if line, err := conn.Line(); line != "EHLO x" || err != nil {
				t.Errorf("%s: %q, %v", kind, line, err)
			}
			conn.Say("250 x")
			if err := conn.Flush(); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
			got := make([]byte, 7)
			if _, err := io.ReadFull(h.cleartext, got); string(got) != "250 x\r\n" || err != nil {
				t.Errorf("%s: %q, %v", kind, got, err)
			}
		}
	}
}

// S29: nothing goes on in clear.
func TestHelperFails(t *testing.T) {
	for reason, block := range map[string]string{"no session": "", "nonsense": "SSL_A=1"} {
		h := newHelper(t, false)
		a, b := socketpair(t)
		defer unix.Close(a)
		defer unix.Close(b)
		wire := &Descriptors{In: a, Out: a, Patience: time.Minute}
		var wg sync.WaitGroup
		wg.Go(func() { h.answer(t, block) })
		if _, err := FindHelper(h.env, wire, time.Minute).Start(NewConn(wire)); err == nil {
			t.Errorf("%s: TLS has begun", reason)
		}
		wg.Wait()
	}
	h := newHelper(t, false) // it never answers
	wire := &Descriptors{In: 0, Out: 1}
	if _, err := FindHelper(h.env, wire, time.Millisecond).Start(NewConn(wire)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("no answer: %v", err)
	}
}
