package engine

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
)

// lone is a server that refuses the recipients it is told to, and may leave
// after each message, or when it is told of another recipient after one.
type lone struct {
	refuse map[string]string
	leaves bool
	tires  bool

	mu           sync.Mutex
	conns, takes int // guarded by mu
}

func (s *lone) sessions() int { s.mu.Lock(); defer s.mu.Unlock(); return s.conns }
func (s *lone) taken() int    { s.mu.Lock(); defer s.mu.Unlock(); return s.takes }

func scripted(t *testing.T, refuse map[string]string) (port int, s *lone) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = &lone{refuse: refuse}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns++
			s.mu.Unlock()
			all.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close() })
	return l.Addr().(*net.TCPAddr).Port, s
}

func (s *lone) serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 lone\r\n")
	open, rcpts, data, tired := false, 0, false, false
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		if data {
			if line == "." {
				data, open, tired = false, false, true
				s.mu.Lock()
				s.takes++
				s.mu.Unlock()
				fmt.Fprint(conn, "250 taken\r\n")
				if s.leaves {
					return
				}
			}
			continue
		}
		switch verb, arg, _ := strings.Cut(line, ":"); verb {
		case "MAIL FROM":
			if open {
				fmt.Fprint(conn, "503 nested MAIL\r\n")
				continue
			}
			open, rcpts = true, 0
			fmt.Fprint(conn, "250 ok\r\n")
		case "RCPT TO":
			if s.tires && tired {
				fmt.Fprint(conn, "421 enough\r\n")
				return
			}
			if no := s.refuse[strings.Trim(arg, "<>")]; no != "" {
				fmt.Fprint(conn, no+"\r\n")
				continue
			}
			rcpts++
			fmt.Fprint(conn, "250 ok\r\n")
		case "DATA":
			if rcpts == 0 {
				fmt.Fprint(conn, "554 no recipients\r\n")
				continue
			}
			data = true
			fmt.Fprint(conn, "354 go\r\n")
		case "RSET":
			open = false
			fmt.Fprint(conn, "250 ok\r\n")
		case "QUIT":
			fmt.Fprint(conn, "221 bye\r\n")
			return
		default:
			fmt.Fprint(conn, "250-lone\r\n250 PIPELINING\r\n")
		}
	}
}
