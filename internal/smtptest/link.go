package smtptest

import (
	"bufio"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// Arrival is how a server's bytes reach the client.
type Arrival uint8

const (
	Whole  Arrival = iota // as they were written
	Bytes                 // one per Read
	Random                // split at random, the same in every run
)

func (a Arrival) String() string { return [...]string{"whole", "bytes", "random"}[a] }

// Arrivals are all ways of arriving.
func Arrivals() []Arrival { return []Arrival{Whole, Bytes, Random} }

// Link makes the two ends of an in-memory connection count what is under way
// from client to server, and the client read as arrival says.
func Link(client, server net.Conn, arrival Arrival, seed uint64) (net.Conn, net.Conn) {
	l := new(line)
	c := &clientEnd{Conn: client, line: l, arrival: arrival, rand: rand.New(rand.NewPCG(seed, 1))}
	return c, &serverEnd{Conn: server, line: l}
}

// line is what both ends know of a connection.
type line struct {
	under  atomic.Int64 // bytes sent by the client and not read by the server
	closed atomic.Bool  // by the client
}

// clientEnd reads piecemeal. Its one reader owns rand.
type clientEnd struct {
	net.Conn
	*line
	arrival Arrival
	rand    *rand.Rand
}

func (c *clientEnd) Read(b []byte) (int, error) {
	if len(b) > 1 && c.arrival != Whole {
		n := 1
		if c.arrival == Random {
			n += c.rand.IntN(min(len(b), 40))
		}
		b = b[:n]
	}
	return c.Conn.Read(b)
}

func (c *clientEnd) Write(b []byte) (int, error) {
	c.under.Add(int64(len(b)))
	n, err := c.Conn.Write(b)
	c.under.Add(int64(n - len(b)))
	return n, err
}

func (c *clientEnd) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

type serverEnd struct {
	net.Conn
	*line
}

func (s *serverEnd) Read(b []byte) (int, error) {
	n, err := s.Conn.Read(b)
	s.under.Add(int64(-n))
	return n, err
}

// CloseWrite sends FIN where the connection below can, else closes.
func (s *serverEnd) CloseWrite() error {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return s.Conn.Close()
}

// Reset resets where the connection below can, else closes.
func (s *serverEnd) Reset() {
	if c, ok := s.Conn.(interface{ Reset() error }); ok {
		c.Reset()
	}
	s.Conn.Close()
}

// pending is how many bytes the client has sent and the server not read, as far
// as that can be known.
func pending(c net.Conn) int64 {
	if s, ok := c.(*serverEnd); ok {
		return s.under.Load()
	}
	return 0
}

// buffered is a connection some of whose bytes are in r already.
type buffered struct {
	net.Conn
	r *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.r.Read(p) }
