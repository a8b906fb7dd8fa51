package engine

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"testing"

	"postrider/internal/sink"
	"postrider/internal/smtptest"
)

// secured delivers one message on a connection of its own, which must be under TLS.
func (w *world) secured(i int) {
	w.t.Helper()
	w.engine.pool.flush()
	if l := w.deliver(fmt.Sprintf("0/%d", i), "me@engine.example", "r@a.example"); !accepted(l) || !strings.Contains(l, "\nTLS: TLSv1.") {
		w.t.Errorf("%d: %q", i, l)
	}
}

// TestSessions: connections to one place resume a TLS session; another HELO name
// is another place.
func TestSessions(t *testing.T) {
	w := newWorld(t)
	s, port := w.server(sink.Config{TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}})
	w.control("smtproutes", w.route("a.example", port))
	w.control("trustanchors", "/nonexistent\n") // opportunistic TLS never reads them
	for i := range 5 {
		w.secured(i)
	}
	w.control("helohost", "another.example\n")
	w.secured(5)
	if c := w.engine.Observer().State().Caches.TLS; c.Full != 2 || c.Resumed != 4 || c.Sessions != 2 {
		t.Errorf("%+v", c)
	}
	if n := s.Sessions.Load(); n != 6 {
		t.Errorf("%d connections, want 6", n)
	}
}

// TestSessionTrouble: where a server fails over a session that it gave, there is a
// full handshake on a new connection, and no message goes in clear for it.
func TestSessionTrouble(t *testing.T) {
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s, port := w.server(sink.Config{TLS: &tls.Config{
				MaxVersion:   version,
				Certificates: []tls.Certificate{smtptest.Certificate("mx.example")},
				UnwrapSession: func(ticket []byte, _ tls.ConnectionState) (*tls.SessionState, error) {
					if len(ticket) == 0 {
						return nil, nil
					}
					return nil, errors.New("no")
				},
			}})
			w.control("smtproutes", w.route("a.example", port))
			w.control("trustanchors", "/nonexistent\n")
			for i := range 4 {
				w.secured(i)
			}
			if c := w.engine.Observer().State().Caches.TLS; c.Full != 4 || c.Resumed != 0 {
				t.Errorf("%+v", c)
			}
			if n := s.Sessions.Load(); n != 1+3*2 {
				t.Errorf("%d connections", n)
			}
		})
	}
}
