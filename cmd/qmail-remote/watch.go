package main

import (
	"errors"
	"io"

	"golang.org/x/sys/unix"
)

// watched is a message whose end can be read only while somebody will hear the
// report. If qmail-rspawn has died, the message will be sent again, and so its
// end is not sent now: nobody can send what he has not read. (Under TLS
// qmail-remote-io asks us: chain.Chain.Heard.)
type watched struct {
	io.ReaderAt
	size   int64
	report int // the descriptor that the report goes to
}

var errDeaf = errors.New("nobody reads the report")

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) >= w.size && deaf(w.report) {
		return 0, errDeaf
	}
	return w.ReaderAt.ReadAt(p, off)
}

// deaf reports whether a pipe has no reader any more.
func deaf(fd int) bool {
	p := []unix.PollFd{{Fd: int32(fd)}}
	n, err := unix.Poll(p, 0)
	return err == nil && n > 0 && p[0].Revents&(unix.POLLERR|unix.POLLNVAL) != 0
}
