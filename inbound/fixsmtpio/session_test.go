package fixsmtpio

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestPass: the server gets all that there is for it, and the client's end after
// that.
func TestPass(t *testing.T) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	const size = 1 << 20
	s := Session{kid: &kid{in: pipe[1], out: closed}, d: &dialogue{ended: true, toServer: make([]byte, size)}}
	got, buf := 0, make([]byte, 64<<10)
	for turns := 0; turns < 1000; turns++ {
		s.pass()
		n, err := unix.Read(pipe[0], buf)
		if n == 0 {
			break
		}
		if got += max(n, 0); err != nil {
			t.Fatal(err)
		}
	}
	if got != size || s.kid.in != closed {
		t.Errorf("%d bytes, and %+v", got, s.kid)
	}
	unix.Close(pipe[0])

	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	unix.Close(pipe[0])
	s = Session{kid: &kid{in: pipe[1], out: closed}, d: &dialogue{toServer: []byte("NOOP\r\n")}}
	if s.pass(); s.kid.in != closed {
		t.Error("a server that reads no more")
	}
}
