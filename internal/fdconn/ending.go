package fdconn

import (
	"io"
	"sync/atomic"
)

// Ending is a Conn that remembers whether Read has come to the end. It is for
// what may end above it without reading so far, as TLS does by a close_notify.
type Ending struct {
	*Conn
	ended atomic.Bool
}

func (e *Ending) Read(p []byte) (int, error) {
	n, err := e.Conn.Read(p)
	if err == io.EOF {
		e.ended.Store(true)
	}
	return n, err
}

// Ended says whether Read has come to the end.
func (e *Ending) Ended() bool { return e.ended.Load() }
