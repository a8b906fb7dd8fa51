package engine

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
)

// moody is a server that does what servers do when they are unwell, and keeps a
// ledger of what it took, in whichever way it said so.
type moody struct {
	t *testing.T

	mu    sync.Mutex
	rng   *rand.Rand     // guarded by mu
	taken map[string]int // guarded by mu: "message recipient" to how often
}

// mood is what happens instead of the answer.
type mood int

const (
	fine  mood = iota
	drop       // the connection ends
	reset      // it ends with RST
	later      // 4xx
	never      // 5xx
	bye        // 421 and the end
	slip       // at the dot: taken, and the connection ends before it is said
)

func (s *moody) mood(of ...mood) mood {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rng.IntN(100) >= 12 {
		return fine
	}
	return of[s.rng.IntN(len(of))]
}

func (s *moody) listen() int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return l.Addr().(*net.TCPAddr).Port
}

// say answers, or has its mood; it reports whether the session goes on and
// whether the answer was the wanted one.
func (s *moody) say(conn net.Conn, wanted string, m mood) (on, ok bool) {
	switch m {
	case drop:
		return false, false
	case reset:
		conn.(*net.TCPConn).SetLinger(0)
		return false, false
	case later:
		wanted = "451 later"
	case never:
		wanted = "550 never"
	case bye:
		wanted = "421 bye"
	}
	fmt.Fprint(conn, wanted+"\r\n")
	return m != bye, m == fine
}

func (s *moody) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	on, _ := s.say(conn, "220 moody", s.mood(drop, reset, later, bye))
	ok := false
	var rcpts []string
	open := false
	for on {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, arg, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		switch verb {
		case "MAIL FROM":
			if open {
				s.t.Error("nested MAIL")
			}
			rcpts = nil
			on, open = s.say(conn, "250 ok", s.mood(drop, reset, later, never, bye))
		case "RCPT TO":
			if on, ok = s.say(conn, "250 ok", s.mood(drop, reset, later, never, bye)); ok && open {
				rcpts = append(rcpts, strings.Trim(arg, "<>"))
			}
		case "DATA":
			if !open || len(rcpts) == 0 {
				on, _ = s.say(conn, "503 no", fine)
				continue
			}
			if on, ok = s.say(conn, "354 go", s.mood(drop, reset, later, never, bye)); ok {
				on = s.content(conn, r, rcpts)
				open = false
			}
		case "RSET":
			open = false
			on, _ = s.say(conn, "250 ok", fine)
		case "QUIT":
			return
		default:
			on, _ = s.say(conn, "250-moody\r\n250 PIPELINING", s.mood(drop, reset, bye))
		}
	}
}

func (s *moody) content(conn net.Conn, r *bufio.Reader, rcpts []string) (on bool) {
	subject := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return false
		}
		if id, ok := strings.CutPrefix(line, "Subject: "); ok {
			subject = strings.TrimSpace(id)
		}
		if line == ".\r\n" {
			break
		}
	}
	m := s.mood(drop, reset, later, never, bye, slip)
	if m == fine || m == slip {
		s.mu.Lock()
		for _, rcpt := range rcpts {
			s.taken[subject+" "+rcpt]++
		}
		s.mu.Unlock()
	}
	if m == slip {
		return false
	}
	on, _ = s.say(conn, "250 taken", m)
	return on
}

// TestLedger: thousands of deliveries to unwell servers. What is reported as
// accepted was taken exactly once; what is not was not taken at all, unless the
// report says that it may have been.
func TestLedger(t *testing.T) {
	t.Run("side by side", func(t *testing.T) { ledger(t, "20", 40) })
	t.Run("one behind the other", func(t *testing.T) { ledger(t, "1", 8) })
}

func ledger(t *testing.T, perHost string, domains int) {
	const messages, perMessage = 300, 5
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	s := &moody{t: t, rng: rand.New(rand.NewPCG(seed, 1)), taken: map[string]int{}}
	w := newWorld(t)
	var routes strings.Builder
	for i := range domains {
		routes.WriteString(w.route(fmt.Sprintf("d%d.example", i), s.listen()))
	}
	w.control("smtproutes", routes.String())
	w.control("concurrencyperhost", perHost+"\n")
	var mu sync.Mutex
	tally := map[string]int{}
	slots := make(chan struct{}, 200)
	var all sync.WaitGroup
	for i := range messages * perMessage {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			id := fmt.Sprintf("0/%d", i/perMessage)
			rcpt := fmt.Sprintf("r%d@d%d.example", i, i/perMessage%domains)
			line := w.deliver(id, "me@engine.example", rcpt)
			s.mu.Lock()
			n := s.taken[id+" "+rcpt]
			s.mu.Unlock()
			doubt := strings.Contains(line, "Possible duplicate!")
			what := line[:1]
			if doubt {
				what += "?"
			}
			mu.Lock()
			tally[what]++
			mu.Unlock()
			switch {
			case line[0] == 'K' && n != 1, line[0] != 'K' && !doubt && n != 0, n > 1:
				t.Errorf("%s %s: taken %d times, reported %q", id, rcpt, n, line)
			}
		})
	}
	all.Wait()
	overlapped := w.engine.Observer().State().Connections.Overlapped
	t.Logf("reports: %v; %d overlapped", tally, overlapped)
	if perHost == "1" && overlapped == 0 {
		t.Error("nothing overlapped")
	}
	for _, what := range []string{"K", "Z", "D", "Z?"} {
		if tally[what] == 0 {
			t.Errorf("no report of the kind %s: %v", what, tally)
		}
	}
}
