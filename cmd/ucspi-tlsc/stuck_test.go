package main

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// crumbs is a connection that says everything byte by byte.
type crumbs struct{ net.Conn }

func (c crumbs) Write(p []byte) (int, error) {
	for i := range p {
		if _, err := c.Conn.Write(p[i : i+1]); err != nil {
			return i, err
		}
	}
	return len(p), nil
}

// TestCrumbs: TLS that comes in pieces of whatever size is put together, while the
// program has its say, too.
func TestCrumbs(t *testing.T) {
	r := launch(t, func(l *line) {
		l.raw.Conn = crumbs{l.raw.Conn}
		conn := l.secure(tls.NoClientCert)
		for s := l.hear(); s != ""; s = l.hear() {
			l.say(s)
		}
		conn.CloseWrite()
	}, []string{"CAFILE=" + authority(t)}, "", "-S", "sh", "-c", `seq 4000 >&7 & exec 7>&-; cat <&6`)
	var want strings.Builder
	for i := range 4000 {
		want.WriteString(strconv.Itoa(i+1) + "\n")
	}
	if r.code != 0 || r.out != want.String() {
		t.Errorf("%d, %d bytes of %d came back\n%s", r.code, len(r.out), want.Len(), r.errors)
	}
}

// unread is how much has come that nobody has read.
func unread(t *testing.T, l *line) (n int) {
	t.Helper()
	raw, err := l.raw.Conn.(*net.TCPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	if err != nil {
		t.Error(err)
	}
	return n
}

// TestHeardWhileStuck: a peer that refuses in the middle of what it is sent, and
// reads no more, is heard at once, and not when all is sent.
func TestHeardWhileStuck(t *testing.T) {
	heard := filepath.Join(t.TempDir(), "heard")
	if err := syscall.Mkfifo(heard, 0o600); err != nil {
		t.Fatal(err)
	}
	r := launch(t, func(l *line) {
		l.secure(tls.NoClientCert)
		l.hear()
		failing := time.AfterFunc(20*time.Second, func() { // so that a failure ends
			if f, err := os.OpenFile(heard, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
				f.Close()
			}
		})
		defer failing.Stop()
		// Only when the kernel takes no more of what nobody reads.
		for before, now := 0, unread(t, l); now == 0 || now != before; before, now = now, unread(t, l) {
			time.Sleep(50 * time.Millisecond)
		}
		l.say("552 no more\n")
		if f, err := os.Open(heard); err == nil { // waits for who has heard it
			f.Close()
		}
	}, []string{"CAFILE=" + authority(t)}, "",
		"sh", "-c", `yes >&7 2>/dev/null & read -r x <&6; echo "$x"; kill $!; : >`+heard)
	if r.out != "552 no more\n" {
		t.Errorf("%+v", r)
	}
}
