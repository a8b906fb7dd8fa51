package engine

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"postrider/internal/sink"
	"postrider/internal/smtptest"
)

// counted counts what servers write: with a flight of replies in each write, and
// nothing to be waited for in between, that is round trips.
type counted struct {
	net.Listener
	writes *atomic.Int64
}

func (l counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return countedConn{c, l.writes}, err
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(b []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(b)
}

// queue delivers n messages to one destination that takes one at a time.
func (w *world) queue(n int) {
	w.t.Helper()
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			if l := w.deliver(fmt.Sprintf("0/%d", i), "me@engine.example", fmt.Sprintf("r%d@a.example", i)); !accepted(l) {
				w.t.Error(l)
			}
		})
	}
	all.Wait()
}

// TestOneRoundTrip: a queue for one destination costs a round trip a message,
// where content and the next commands may share a flight.
func TestOneRoundTrip(t *testing.T) {
	const n = maxTransactions - 10 // on one connection
	for name, c := range map[string]struct {
		sink.Config
		most    int64 // writes of the server
		overlap bool
	}{
		"clear":              {sink.Config{}, n + n/2, true},
		"CHUNKING":           {sink.Config{Chunking: true}, n + 10, false},
		"lockstep":           {sink.Config{Lockstep: true}, 5*n + 10, false},
		"TLS":                {sink.Config{TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}}, n + n/2, true},
		"CHUNKING under TLS": {sink.Config{Chunking: true, TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}}, n + 10, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			var writes atomic.Int64
			c.Keep = true
			s := sink.Serve(counted{l, &writes}, c.Config)
			t.Cleanup(s.Close)
			w.control("smtproutes", w.route("a.example", l.Addr().(*net.TCPAddr).Port))
			w.control("concurrencyperhost", "1\n")
			w.control("trustanchors", "/nonexistent\n")
			w.queue(n)
			state := w.engine.Observer().State().Connections
			t.Logf("%d writes, %d sessions, %+v", writes.Load(), s.Sessions.Load(), state)
			if m := s.Messages(); len(m) != n || s.Sessions.Load() != 1 {
				t.Errorf("%d messages over %d connections", len(m), s.Sessions.Load())
			}
			if (state.Overlapped > 0) != c.overlap || writes.Load() > c.most {
				t.Errorf("%d writes, at most %d expected; %d overlapped", writes.Load(), c.most, state.Overlapped)
			}
		})
	}
}

// sly is a server that takes so many messages, and leaves when the flight that
// ends the next one has come, with or without a verdict on it.
type sly struct {
	good    int    // messages in a session before that
	verdict string // "": none

	mu    sync.Mutex
	taken map[string]int // guarded by mu: by subject
}

func (s *sly) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 sly\r\n")
	for n := 0; ; {
		line, err := r.ReadString('\n')
		switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); {
		case err != nil || verb == "QUIT":
			return
		case verb == "EHLO":
			fmt.Fprint(conn, "250-sly\r\n250 PIPELINING\r\n")
		case verb == "DATA":
			fmt.Fprint(conn, "354 go\r\n")
			subject, err := content(r)
			if err != nil {
				return
			}
			if n++; n <= s.good {
				s.took(subject)
				fmt.Fprint(conn, "250 taken\r\n")
				continue
			}
			if strings.HasPrefix(s.verdict, "2") || s.verdict == "" {
				s.took(subject)
			}
			if s.verdict != "" {
				fmt.Fprint(conn, s.verdict+"\r\n")
			}
			return
		default:
			fmt.Fprint(conn, "250 ok\r\n")
		}
	}
}

func (s *sly) took(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.taken[subject]++
}

// content reads a message and gives its subject.
func content(r *bufio.Reader) (subject string, err error) {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if s, ok := strings.CutPrefix(line, "Subject: "); ok {
			subject = strings.TrimSpace(s)
		}
		if line == ".\r\n" {
			return subject, nil
		}
	}
}

// TestBetweenTwo: the connection ends between one message's content and the
// replies to the next one's commands. The one is taken, refused or in doubt; the
// next is delivered on another connection, once.
func TestBetweenTwo(t *testing.T) {
	for _, verdict := range []string{"250 taken", "250-taken\r\n250 indeed", "451 later", "554 never", "421 bye", ""} {
		t.Run(verdict, func(t *testing.T) {
			w := newWorld(t)
			s := &sly{good: 3, verdict: verdict, taken: map[string]int{}}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					go s.serve(conn)
				}
			}()
			w.control("smtproutes", w.route("a.example", l.Addr().(*net.TCPAddr).Port))
			w.control("concurrencyperhost", "1\n")
			const n = 40
			lines := make([]string, n)
			var all sync.WaitGroup
			for i := range n {
				all.Go(func() { lines[i] = w.deliver(fmt.Sprintf("0/%d", i), "me@engine.example", "r@a.example") })
			}
			all.Wait()
			odd := 0
			for i, line := range lines {
				s.mu.Lock()
				taken := s.taken[fmt.Sprintf("0/%d", i)]
				s.mu.Unlock()
				doubt := strings.Contains(line, "Possible duplicate!")
				if line[0] != 'K' {
					odd++
				}
				if taken > 1 || (line[0] == 'K') != (taken == 1 && !doubt) || doubt != (verdict == "") && line[0] != 'K' {
					t.Errorf("%d: taken %d times, reported %q", i, taken, line)
				}
			}
			if want := n / 4; !strings.HasPrefix(verdict, "2") && odd != want {
				t.Errorf("%d were not accepted, want %d", odd, want)
			}
			if w.engine.Observer().State().Connections.Overlapped == 0 {
				t.Error("nothing overlapped, so nothing was tested")
			}
		})
	}
}
