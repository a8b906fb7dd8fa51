package chain

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"postrider/internal/fdconn"
)

// qmail-rspawn starts us with SIGPIPE ignored and SIGCHLD blocked; helpers get neither.
func TestSignalsOfHelpers(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\nexec >&2\necho $(grep -E 'SigBlk|SigIgn' /proc/self/status)\nexit 98\n"
	if err := os.WriteFile(filepath.Join(dir, "ucspi-tlsc"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	got := underRspawn(t, dir)
	// This test's own parent may have had other signals ignored.
	for _, field := range []string{"SigBlk: ", "SigIgn: "} {
		_, hex, found := strings.Cut(got, field)
		set, err := strconv.ParseUint(hex[:min(len(hex), 16)], 16, 64)
		if !found || err != nil || set&(1<<(syscall.SIGPIPE-1)|1<<(syscall.SIGCHLD-1)) != 0 {
			t.Errorf("%s in %q", field, got)
		}
	}
}

// Of our descriptors helpers get those that are theirs.
func TestDescriptorsOfHelpers(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "ucspi-tlsc")); err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(strings.TrimPrefix(underRspawn(t, dir), "TLS TLS failed "))
	kinds := []string{"/etc/passwd", "/dev/null", "pipe:", "pipe:", "socket:", "pipe:", "socket:", "socket:"}
	if len(got) != len(kinds) {
		t.Fatalf("got %q", got)
	}
	for fd, target := range got {
		if !strings.HasPrefix(target, kinds[fd]) {
			t.Errorf("descriptor %d is %s", fd, target)
		}
	}
}

// spy is this program in the place of ucspi-tlsc: it tells what its
// descriptors are, but for those that the test itself was started with.
func spy() {
	var list []string
	before := " " + os.Getenv("CHAIN_TEST_BEFORE") + " "
	for fd, state := range fdconn.Inherited(1024) {
		if state != fdconn.Closed && (fd < 8 || !strings.Contains(before, " "+strconv.Itoa(fd)+" ")) {
			target, _ := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
			list = append(list, target)
		}
	}
	fmt.Fprintln(os.Stderr, strings.Join(list, " "))
	os.Exit(98)
}

// underRspawn runs a delivery as qmail-rspawn would, with the helpers of dir,
// and returns what became of it.
func underRspawn(t *testing.T, dir string) string {
	t.Helper()
	defer noProcesses(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	message, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer message.Close()
	out, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	before := ""
	for fd, state := range fdconn.Inherited(1024) {
		if state != fdconn.Closed {
			before += " " + strconv.Itoa(fd)
		}
	}
	blocked := unix.Sigset_t{}
	blocked.Val[0] = 1 << (uint(syscall.SIGCHLD) - 1)
	p := startBlocked(t, &blocked, &os.ProcAttr{
		Env:   append(os.Environ(), "CHAIN_TEST_BEFORE="+before, "CHAIN_TEST_DELIVER="+l.Addr().String()+" "+dir),
		Files: []*os.File{message, w, w},
	})
	w.Close()
	b, err := io.ReadAll(out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Wait(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// startBlocked runs this program by a shell that ignores SIGPIPE, with signals blocked.
func startBlocked(t *testing.T, set *unix.Sigset_t, attr *os.ProcAttr) *os.Process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var old unix.Sigset_t
	done := make(chan *os.Process)
	go func() {
		lockedMask(set, &old, func() {
			p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "trap '' PIPE; exec " + self}, attr)
			if err != nil {
				t.Error(err)
			}
			done <- p
		})
	}()
	p := <-done
	if p == nil {
		t.FailNow()
	}
	return p
}

// lockedMask calls f on a thread that has the signals of set blocked.
func lockedMask(set, old *unix.Sigset_t, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PthreadSigmask(unix.SIG_BLOCK, set, old); err != nil {
		panic(err)
	}
	defer unix.PthreadSigmask(unix.SIG_SETMASK, old, nil)
	f()
}
