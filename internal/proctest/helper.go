package proctest

import (
	"net"
	"os"
	"testing"
	"time"
)

// Helper is a UCSPI-TLS helper that encrypts nothing: when the program has asked
// for TLS, its client goes on in clear, on two pipes.
type Helper struct {
	Ctl   *net.UnixConn // where the program asks
	R, W  *os.File      // what it says then, and what it hears
	Files []*os.File    // the program's, from descriptor 3 on
	Env   []string      // tells it so
}

// NewHelper is closed when the test ends.
func NewHelper(t testing.TB) *Helper {
	t.Helper()
	ctl, theirs := Socketpair(t)
	ctl.SetDeadline(time.Now().Add(patience))
	downR, downW := Pipe(t)
	upR, upW := Pipe(t)
	return &Helper{ctl, upR, downW, []*os.File{theirs, downR, upW}, []string{"SSLCTLFD=3", "SSLREADFD=4", "SSLWRITEFD=5"}}
}

// Given closes what the program has now.
func (h *Helper) Given() {
	for _, f := range h.Files {
		f.Close()
	}
}

// Asked waits until the program asks for TLS and for what is known of it.
func (h *Helper) Asked(t testing.TB) {
	t.Helper()
	word := make([]byte, 2)
	if n, err := h.Ctl.Read(word); string(word[:n]) != "Y" {
		t.Fatalf("the helper is asked %q, %v", word[:n], err)
	}
}
