package proctest

import (
	"os"
	"testing"
)

// thread is the descriptor that a Life has in all processes of a run: above
// those that our programs use or close for their children.
const thread = 70

// Life tells when the last process of a run is gone: a pipe that all of them
// have inherited, and that has an end only then.
type Life struct{ r, w *os.File }

// NewLife is for one run.
func NewLife(t *testing.T) *Life {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return &Life{r, w}
}

// Extra gives what a program needs as exec.Cmd's ExtraFiles to be of the run.
func (l *Life) Extra() []*os.File { return l.Files()[3:] }

// Files is the same behind the descriptors in low, which begin at 0.
func (l *Life) Files(low ...*os.File) []*os.File {
	files := make([]*os.File, thread+1)
	copy(files, low)
	files[thread] = l.w
	return files
}

// Over waits until every process of the run has ended. If one lives on, the
// test fails by its time limit.
func (l *Life) Over() {
	l.w.Close()
	l.r.Read(make([]byte, 1))
}
