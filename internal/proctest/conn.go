package proctest

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Connection is a TCP connection over loopback: the peer's end for the test, and
// the program's as a UCSPI server or client hands it on, a blocking descriptor.
// Both are closed when the test ends; the test closes its copy of the program's
// end when the program has it.
func Connection(t testing.TB) (peer *net.TCPConn, program *os.File) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ours, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ours.Close() })
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	program, err = theirs.(*net.TCPConn).File()
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	if err := syscall.SetNonblock(int(program.Fd()), false); err != nil {
		t.Fatal(err)
	}
	return ours.(*net.TCPConn), program
}

// Socketpair is Connection without a network: the peer's end has deadlines, too,
// and the program's blocks.
func Socketpair(t testing.TB) (peer *net.UnixConn, program *os.File) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours, program := os.NewFile(uintptr(fds[0]), "peer"), os.NewFile(uintptr(fds[1]), "program")
	t.Cleanup(func() { program.Close() })
	conn, err := net.FileConn(ours)
	ours.Close()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn), program
}

// Pipe is closed when the test ends.
func Pipe(t testing.TB) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// InOut are files on disk: one to read, which has this content, and an empty one
// to write. Both are closed when the test ends.
func InOut(t testing.TB, content string) (in, out *os.File) {
	t.Helper()
	dir := t.TempDir()
	err := os.WriteFile(filepath.Join(dir, "in"), []byte(content), 0o600)
	if err == nil {
		in, err = os.Open(filepath.Join(dir, "in"))
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	if out, err = os.Create(filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return in, out
}
