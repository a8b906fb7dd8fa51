package resolver

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// patience bounds one look-up, all servers, tries and CNAMEs together, when the
// caller's context does not.
const patience = 60 * time.Second

// exchange asks the servers in turn, round after round, until one gives an
// answer that stands: NOERROR or NXDOMAIN. It returns why the last one did not.
func (r *Resolver) exchange(ctx context.Context, q *question) (*reply, error) {
	if r.ahead != nil {
		if m := r.ahead.take(q.name, q.typ); m != nil {
			return m, nil
		}
	}
	var last error
	turn := 0
	if r.c.Rotate && len(r.servers) > r.c.Front {
		turn = rand.IntN(len(r.servers) - r.c.Front)
	}
	for range r.c.Attempts {
		for i := range r.servers {
			m, err := r.try(ctx, &r.servers[r.place(i, turn)], q)
			if err == nil {
				return m, nil
			}
			if ctx.Err() != nil { // ours ended it: say so, not what the socket said
				return nil, context.Cause(ctx)
			}
			last = err
		}
	}
	return nil, last
}

// place is the i-th server to ask when rotation begins at turn.
func (r *Resolver) place(i, turn int) int {
	if i < r.c.Front {
		return i
	}
	return r.c.Front + (i-r.c.Front+turn)%(len(r.servers)-r.c.Front)
}

// try asks one server, within Timeout all in all. A server that does not bear
// EDNS is asked again without (RFC 6891 §7).
func (r *Resolver) try(ctx context.Context, s *server, q *question) (*reply, error) {
	ctx, cancel := context.WithTimeout(ctx, r.c.Timeout)
	defer cancel()
	m, err := r.once(ctx, s, q, true)
	if err == nil && (m.rcode == rcodeFormErr || m.rcode == rcodeNotImp || m.rcode == rcodeBadVers) {
		m, err = r.once(ctx, s, q, false)
	}
	if err != nil {
		return nil, err
	}
	return s.judge(m)
}

// judge gives m if it is an answer that stands, coming from s.
func (s *server) judge(m *reply) (*reply, error) {
	switch {
	case m.rcode != rcodeOK && m.rcode != rcodeNXDomain:
		return nil, rcodeError(m.rcode)
	case m.rcode == rcodeOK && len(m.records) == 0 && m.flags&(flagAA|flagRA) == 0:
		return nil, errLame // a referral is not "no such records"
	}
	m.secure = s.Trusted && m.flags&flagAD != 0
	return m, nil
}

// once asks by UDP, and by TCP when the answer is cut off (RFC 7766 §5).
func (r *Resolver) once(ctx context.Context, s *server, q *question, edns bool) (*reply, error) {
	if !r.c.UseTCP {
		m, err := r.overUDP(ctx, s, q, edns)
		if !errors.Is(err, errCut) {
			return m, err
		}
	}
	return r.overTCP(ctx, s, q, edns)
}

// overUDP asks from a socket of its own, so that the kernel picks a fresh port
// and passes only what comes from the server (RFC 5452 §4.4, §9.1). Whatever else
// does not answer the question is not there: an attacker's guesses must not end
// the wait for the truth. It fails with errCut when TCP is to be asked.
func (r *Resolver) overUDP(ctx context.Context, s *server, q *question, edns bool) (*reply, error) {
	conn, err := r.connect(ctx, "udp", s)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	id := freshID()
	if _, err := conn.Write(q.packet(id, edns)[2:]); err != nil {
		return nil, err
	}
	buf := make([]byte, udpSize+1)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		msg := buf[:n]
		switch {
		case !q.answeredBy(msg, id):
		case binary.BigEndian.Uint16(msg[2:])&flagTC != 0 || n > udpSize:
			return nil, errCut
		default:
			return q.parse(msg)
		}
	}
}

// overTCP asks by TCP. Here nobody but the server can have said what is read, so
// an answer to another question ends the try.
func (r *Resolver) overTCP(ctx context.Context, s *server, q *question, edns bool) (*reply, error) {
	conn, err := r.connect(ctx, "tcp", s)
	if err != nil {
		return nil, err
	}
	defer conn.close()
	id := freshID()
	if _, err := conn.Write(q.packet(id, edns)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	msg := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, msg); err != nil {
		return nil, err
	}
	if !q.answeredBy(msg, id) {
		return nil, errAlien
	}
	return q.parse(msg)
}

// wire is a connection whose reads and writes end with a context, so that a try
// ends in time however slowly bytes drip in.
type wire struct {
	net.Conn
	unhook func() bool
}

func (r *Resolver) connect(ctx context.Context, network string, s *server) (wire, error) {
	c, err := r.dial(ctx, network, s.address)
	if err != nil {
		return wire{}, err
	}
	return wire{c, context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })}, nil
}

func (w wire) close() {
	w.unhook()
	w.Conn.Close()
}

// freshID is from math/rand/v2's own generator: ChaCha8 seeded by the kernel,
// which nobody outside can guess and no system call slows down. Beside its 16
// bits stand those of the source port.
func freshID() uint16 { return uint16(rand.Uint32()) }
