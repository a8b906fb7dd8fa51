package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// canned is a connection to a server that says the same to every question: what
// tail holds from its flags on, with the question put in after the counts.
type canned struct {
	net.Conn
	tail []byte
	tcp  bool
	out  bytes.Buffer
}

func (c *canned) Write(p []byte) (int, error) {
	q := p
	if c.tcp {
		q = p[2:]
	}
	end := headerLen
	for q[end] != 0 {
		end += 1 + int(q[end])
	}
	msg := append([]byte(nil), q[:2]...)
	if len(c.tail) < 8 {
		msg = append(msg, c.tail...)
	} else {
		msg = append(msg, c.tail[0], c.tail[1], 0, 1)
		msg = append(msg, c.tail[2:8]...)
		msg = append(msg, q[headerLen:end+5]...)
		msg = append(msg, c.tail[8:]...)
	}
	if c.tcp {
		binary.Write(&c.out, binary.BigEndian, uint16(len(msg)))
	}
	c.out.Write(msg)
	return len(p), nil
}

func (c *canned) Read(p []byte) (int, error)    { return c.out.Read(p) }
func (c *canned) SetDeadline(t time.Time) error { return nil }
func (c *canned) Close() error                  { return nil }

// cannedResolver asks servers that all say tail.
func cannedResolver(tail []byte, tcp bool) *Resolver {
	return New(Config{Servers: localhost(), UseTCP: tcp}, func(_ context.Context, network, _ string) (net.Conn, error) {
		return &canned{tail: tail, tcp: network == "tcp"}, nil
	})
}

// tail is an answer as canned wants it.
func tail(f interface{ Fatal(...any) }, change func(*dns.Msg), records ...string) []byte {
	m := &dns.Msg{Compress: true}
	m.SetQuestion("example.net.", dns.TypeMX)
	m.Response, m.RecursionAvailable = true, true
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			f.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	if change != nil {
		change(m)
	}
	wire, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	question := len("example.net") + 2 + 4
	return append(append(append([]byte(nil), wire[2:4]...), wire[6:12]...), wire[12+question:]...)
}

// FuzzAnswer: whatever a server says, nothing panics or hangs, every failure has
// a kind, and what is found keeps its promises.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(tail(f, nil, "example.net. MX 10 mx.example.net.", "example.net. MX 0 .", "example.net. A 192.0.2.1",
		"example.net. AAAA 2001:db8::1", "example.net. CNAME example.org."), false)
	f.Add(tail(f, nil, "example.net. CNAME b.example.", "b.example. CNAME example.net."), true)
	f.Add(tail(f, nil, "_25._tcp.example.net. TLSA 3 1 1 0102"), true)
	f.Add(tail(f, func(m *dns.Msg) { m.Truncated = true }), false)
	f.Add(tail(f, func(m *dns.Msg) { m.SetEdns0(1232, true); m.Rcode = dns.RcodeBadVers }), false)
	f.Add(tail(f, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }), false)
	// a compression loop in the owner, and one in an exchanger's name
	f.Add([]byte("\x81\x80\x00\x01\x00\x00\x00\x00\xc0\x1d\x00\x0f\x00\x01\x00\x00\x00\x00\x00\x00"), false)
	f.Add([]byte("\x81\x80\x00\x01\x00\x00\x00\x00\xc0\x0c\x00\x0f\x00\x01\x00\x00\x00\x00\x00\x04\x00\x01\xc0\x2b"), false)
	f.Fuzz(func(t *testing.T, tail []byte, tcp bool) {
		if len(tail) > 60000 {
			return
		}
		r, ctx := cannedResolver(tail, tcp), t.Context()
		check := func(n, most int, err error) {
			var e *Error
			if err != nil && (!errors.As(err, &e) || e.Kind < NotFound || e.Kind > Temporary) {
				t.Errorf("a failure of no kind: %v", err)
			}
			if err == nil && (n == 0 || n > most) {
				t.Errorf("%d records", n)
			}
		}
		mx, err := r.MX(ctx, "example.net")
		check(len(mx.MX), maxMX, err)
		for _, x := range mx.MX {
			if x.Host != "" && !hostName(x.Host) {
				t.Errorf("exchanger %q", x.Host)
			}
		}
		for _, v6 := range []bool{false, true} {
			a, err := r.Addrs(ctx, "example.net", v6)
			check(len(a.Addrs), maxAddrs, err)
			for _, addr := range a.Addrs {
				if addr.Is4() == v6 {
					t.Errorf("%v among addresses of the other family", addr)
				}
			}
			if _, ok := askable(a.Canonical); err == nil && !ok {
				t.Errorf("canonical name %q", a.Canonical)
			}
		}
		tlsa, err := r.TLSA(ctx, 25, "example.net")
		check(len(tlsa.Records), maxTLSA, err)
		_, err = r.CNAMESecure(ctx, "example.net")
		check(1, 1, err)
	})
}

// FuzzParse: an answer as it came from the socket, no question put in.
func FuzzParse(f *testing.F) {
	q := newQuestion("example.net", dns.TypeMX)
	m := new(dns.Msg)
	m.SetQuestion("example.net.", dns.TypeMX)
	m.Response = true
	if wire, err := m.Pack(); err == nil {
		f.Add(wire[2:])
	}
	f.Fuzz(func(t *testing.T, tail []byte) {
		msg := append([]byte{0, 7}, tail...)
		if !q.answeredBy(msg, 7) {
			return
		}
		// What the library takes whole, we take too.
		sameNames(t, msg)
		reply, err := q.parse(msg)
		if new(dns.Msg).Unpack(msg) == nil && len(msg) > headerLen && err != nil && !overcounted(msg) {
			t.Errorf("the library reads it: %x", msg)
		}
		if err == nil {
			reply.follow("example.net", 0)
		}
	})
}

// sameNames: at every place of msg there is a name for us where there is one for
// the library, it ends at the same place, and it is the same, but for names with
// odd bytes, which are only told apart from all others.
func sameNames(t *testing.T, msg []byte) {
	t.Helper()
	for off := range msg {
		ours, end, ok := unpackName(msg, off)
		theirs, theirEnd, err := dns.UnpackDomainName(msg, off)
		if ok != (err == nil) || ok && end != theirEnd {
			t.Fatalf("%x at %d: %v to %d, the library: %v to %d", msg, off, ok, end, err, theirEnd)
		}
		theirs = strings.ToLower(strings.TrimSuffix(theirs, "."))
		if strings.Contains(theirs, `\`) != strings.Contains(ours, `\`) || !strings.Contains(ours, `\`) && ok && ours != theirs {
			t.Fatalf("%x at %d: %q, the library: %q", msg, off, ours, theirs)
		}
	}
}

// overcounted reports whether the header of msg promises more than msg holds,
// which the library forgives.
func overcounted(msg []byte) bool {
	var m dns.Msg
	m.Unpack(msg)
	return len(m.Answer) != int(binary.BigEndian.Uint16(msg[6:])) ||
		len(m.Ns) != int(binary.BigEndian.Uint16(msg[8:])) || len(m.Extra) != int(binary.BigEndian.Uint16(msg[10:]))
}

func BenchmarkAnswer(b *testing.B) {
	r := cannedResolver(tail(b, nil, "example.net. MX 10 mx.example.net.", "example.net. MX 20 mx2.example.net."), false)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.MX(b.Context(), "example.net"); err != nil {
			b.Fatal(err)
		}
	}
}
