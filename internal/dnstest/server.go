package dnstest

import (
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Options is how a Server departs from a good one; the zero Options does not.
type Options struct {
	Delay time.Duration // before each answer
	NoTCP bool          // TCP connections are refused
	// Raw, when it is set and returns a slice that is not nil, has answered the
	// question: its elements are sent as they are, over UDP a packet each, over
	// TCP as a stream of bytes (see Frame), Drip apart. It may be called by several
	// goroutines at once.
	Raw  func(q []byte, tcp bool) [][]byte
	Drip time.Duration
}

// Server answers from a zone over UDP and TCP, at one port.
type Server struct {
	book *book
	opt  Options
	udp  *net.UDPConn
	tcp  *net.TCPListener // nil with NoTCP
	log  questions

	done chan struct{} // closed by Close
	wg   sync.WaitGroup
	once sync.Once
}

// Serve starts a server at an address such as "127.0.0.1:0"; port 0 picks one
// that is free.
func Serve(addr string, z Zone, opt Options) (*Server, error) {
	b, err := compile(z)
	if err != nil {
		return nil, err
	}
	s := &Server{book: b, opt: opt, done: make(chan struct{})}
	if err := s.listen(addr); err != nil {
		return nil, err
	}
	s.wg.Go(s.serveUDP)
	if s.tcp != nil {
		s.wg.Go(s.serveTCP)
	}
	return s, nil
}

// listen opens both sockets. A port that was free for UDP may be taken for TCP:
// then another is tried.
func (s *Server) listen(addr string) error {
	want, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return err
	}
	for try := 0; ; try++ {
		if s.udp, err = net.ListenUDP("udp", want); err != nil || s.opt.NoTCP {
			return err
		}
		s.tcp, err = net.ListenTCP("tcp", net.TCPAddrFromAddrPort(s.Addr()))
		if err == nil {
			return nil
		}
		s.udp.Close()
		if want.Port != 0 || try == 20 {
			return err
		}
	}
}

// Addr is where the server is.
func (s *Server) Addr() netip.AddrPort {
	a := s.udp.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Questions is what was asked, in order, each as "name. TYPE", with " tcp" after
// it when it came by TCP; the first 65536 of them.
func (s *Server) Questions() []string { return s.log.list() }

// Asked is how many questions there were.
func (s *Server) Asked() int { return s.log.count() }

// Close ends the server and waits until nothing of it runs. It may be called
// again.
func (s *Server) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.udp.Close()
		if s.tcp != nil {
			s.tcp.Close()
		}
	})
	s.wg.Wait()
	return nil
}

func (s *Server) serveUDP() {
	buf := make([]byte, 65535)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			select {
			case <-s.done:
				return
			default: // an ICMP error about an answer of ours is nobody's business
				continue
			}
		}
		q := append([]byte(nil), buf[:n]...)
		r := s.hear(q, false)
		s.wg.Go(func() {
			packets, _ := s.answer(q, r, false)
			for i, p := range packets {
				if i > 0 && !s.pause(s.opt.Drip) {
					return
				}
				s.udp.WriteToUDPAddrPort(p, from)
			}
		})
	}
}

func (s *Server) serveTCP() {
	for {
		conn, err := s.tcp.AcceptTCP()
		if err != nil {
			return
		}
		s.wg.Go(func() {
			stop := make(chan struct{})
			s.wg.Go(func() { // the connection ends with the server
				select {
				case <-s.done:
				case <-stop:
				}
				conn.Close()
			})
			defer close(stop)
			s.converse(conn)
		})
	}
}

// converse answers the questions of one connection in turn.
func (s *Server) converse(conn *net.TCPConn) {
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, q); err != nil {
			return
		}
		stream, hangUp := s.answer(q, s.hear(q, true), true)
		if hangUp {
			conn.SetLinger(0) // a reset, not an end
			return
		}
		for i, b := range stream {
			if i > 0 && !s.pause(s.opt.Drip) {
				return
			}
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	}
}

// hear counts a question, in the order of their coming.
func (s *Server) hear(q []byte, tcp bool) response {
	r, asked := s.book.respond(q, tcp)
	s.log.add(asked, tcp)
	return r
}

// answer is what is to be sent for a question.
func (s *Server) answer(q []byte, r response, tcp bool) (out [][]byte, hangUp bool) {
	if !s.pause(s.opt.Delay) {
		return nil, true
	}
	if s.opt.Raw != nil {
		if out := s.opt.Raw(q, tcp); out != nil {
			return out, false
		}
	}
	if r.msg == nil {
		return nil, r.hangUp
	}
	if tcp {
		r.msg = Frame(r.msg)
	}
	return [][]byte{r.msg}, false
}

// pause waits, and reports false when the server ended meanwhile.
func (s *Server) pause(d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// Frame puts the two bytes of its length before a message, as TCP carries it
// (RFC 1035 §4.2.2).
func Frame(msg []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...)
}
