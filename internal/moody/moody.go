// Package moody is SMTP servers that are unwell now and then, in every way that
// servers are, and that keep a ledger of what they took, in whichever way they
// said so. It does not know who delivers. Production code never imports it.
package moody

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
)

// Mood is what a server does instead of answering.
type Mood uint8

const (
	Fine    Mood = iota // nothing else
	Long                // the answer, with many lines before it
	Leave               // the answer, and the connection ends
	Drop                // the connection ends
	Reset               // it ends with RST
	Half                // half of the answer, and the connection ends
	Garbage             // what is no SMTP
	Stall               // nothing, until the client goes
	Later               // 4xx
	Never               // 5xx
	Bye                 // 421, and the connection ends
)

// Moods are all.
func Moods() []Mood {
	return []Mood{Fine, Long, Leave, Drop, Reset, Half, Garbage, Stall, Later, Never, Bye}
}

func (m Mood) String() string {
	return [...]string{"fine", "long", "leave", "drop", "reset", "half", "garbage", "stall", "later", "never", "bye"}[m]
}

// bad are the moods after which nobody knows what the answer would have been.
var bad = []Mood{Drop, Reset, Half, Garbage, Stall}

// Config is how unwell servers are.
type Config struct {
	Seed uint64
	Ill  int // of a thousand answers
	// TLS is what every other server offers STARTTLS with; nil: none does.
	TLS *tls.Config
}

// Servers are all that share a ledger. Make them with New.
type Servers struct {
	c     Config
	conns sync.WaitGroup

	mu     sync.Mutex // guards what follows
	rng    *rand.Rand
	doors  []net.Listener
	open   map[net.Conn]bool
	ledger map[string]int
	counts Counts
}

// Counts is what was seen so far.
type Counts struct {
	Did     map[Mood]int
	Reused  int // messages taken that were not the first of their conversation
	Secured int // of those, under TLS
	Resumed int // handshakes
	Chunks  int // messages that came by BDAT
	Open    int // conversations now
	// Wrong is what a client must never do.
	Wrong []string
}

// New makes no server yet.
func New(c Config) *Servers {
	return &Servers{c: c, rng: rand.New(rand.NewPCG(c.Seed, 1)), open: map[net.Conn]bool{}, ledger: map[string]int{},
		counts: Counts{Did: map[Mood]int{}}}
}

// Listen starts one more server on loopback and tells its port. The first eight
// differ in what they offer; then it begins anew.
func (s *Servers) Listen() (port int, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	s.mu.Lock()
	n := len(s.doors)
	s.doors = append(s.doors, l)
	s.mu.Unlock()
	offers := offer{pipelining: n&2 == 0, chunking: n&4 != 0, tls: n&1 != 0 && s.c.TLS != nil}
	s.conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[conn] = true
			s.mu.Unlock()
			s.conns.Go(func() {
				(&session{Servers: s, offer: offers, raw: conn, conn: conn, r: bufio.NewReader(conn)}).run()
				conn.Close()
				s.mu.Lock()
				delete(s.open, conn)
				s.mu.Unlock()
			})
		}
	})
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Close lets no client in any more and waits until all have gone: by then the
// ledger is true.
func (s *Servers) Close() {
	s.mu.Lock()
	doors := slices.Clone(s.doors)
	s.mu.Unlock()
	for _, l := range doors {
		l.Close()
	}
	s.conns.Wait()
}

// Taken is how often the message with that Subject was taken for a recipient.
func (s *Servers) Taken(subject, rcpt string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger[subject+" "+rcpt]
}

// Lie says what is wrong with the report of a delivery, of what became of it; ""
// is nothing. A message that was taken twice is always wrong, one that was taken
// and not reported so unless the report leaves it open.
func (s *Servers) Lie(report, subject, rcpt string) string {
	n := s.Taken(subject, rcpt)
	open := strings.Contains(report, "Possible duplicate!") || report == "Zqmail-remote crashed.\n"
	if n == 1 && report[0] == 'K' || n == 0 && report[0] != 'K' || n == 1 && open {
		return ""
	}
	return fmt.Sprintf("%s for %s was taken %d times and reported as %q", subject, rcpt, n, report)
}

// Counts is what has been seen.
func (s *Servers) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.counts
	c.Did = maps.Clone(c.Did)
	c.Open = len(s.open)
	return c
}

// mood is fine, mostly.
func (s *Servers) mood(of ...Mood) Mood {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := Fine
	if s.rng.IntN(1000) < s.c.Ill {
		m = of[s.rng.IntN(len(of))]
	}
	s.counts.Did[m]++
	return m
}

// coin falls on either side.
func (s *Servers) coin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rng.IntN(2) == 0
}

func (s *Servers) wrong(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Wrong = append(s.counts.Wrong, fmt.Sprintf(format, args...))
}

// take enters a message into the ledger.
func (s *Servers) take(subject string, c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range c.rcpts {
		s.ledger[subject+" "+r]++
	}
	if c.took++; c.took > 1 {
		s.counts.Reused++
		if c.secure {
			s.counts.Secured++
		}
	}
}

func (s *Servers) count(of func(*Counts)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	of(&s.counts)
}
