package resolver_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"github.com/miekg/dns"

	"postrider/internal/dnstest"
	"postrider/resolver"
)

// reply packs an answer to the question q with records, after a change.
func reply(q []byte, change func(*dns.Msg), records ...string) []byte {
	var m dns.Msg
	if err := m.Unpack(q); err != nil {
		panic(err)
	}
	r := new(dns.Msg).SetReply(&m)
	r.RecursionAvailable = true
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			panic(err)
		}
		r.Answer = append(r.Answer, rr)
	}
	if change != nil {
		change(r)
	}
	wire, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return wire
}

// raw is a record of the question's name with data of any shape, and a length
// that may lie.
func raw(typ uint16, length int, data string) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0xc0, 12}, typ)
	b = append(b, 0, 1, 0, 0, 0, 60)
	return append(binary.BigEndian.AppendUint16(b, uint16(length)), data...)
}

// answering is the bytes of an answer to q with records as they are.
func answering(q []byte, records ...[]byte) []byte {
	msg := reply(q, nil)
	msg[7] = byte(len(records))
	return append(msg, bytes.Join(records, nil)...)
}

const (
	good = "example.net. 60 IN MX 10 mx.example.net."
	evil = "example.net. 60 IN MX 1 evil.example.org."
)

var goodMX = resolver.MXAnswer{MX: []resolver.MX{{Pref: 10, Host: "mx.example.net"}}}

// Packets that do not answer the question are not there; the one that does, later,
// is taken.
func TestForged(t *testing.T) {
	for name, forge := range map[string]func(q []byte) []byte{
		"C14 wrong ID":      func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Id++ }, evil) },
		"C14 not an answer": func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Response = false }, evil) },
		"C14 other opcode":  func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify }, evil) },
		"C14 wrong name":    func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Question[0].Name = "example.org." }, evil) },
		"C14 wrong type":    func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }, evil) },
		"C14 wrong class": func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, evil)
		},
		"C14 0x20 mismatch": func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Question[0].Name = "Example.NET." }, evil) },
		"C14 no question":   func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Question = nil }, evil) },
		"C14 no such name":  func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Question = nil; m.Rcode = 3 }) },
		"C14 two questions": func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }, evil)
		},
		"C15 shorter than all": func(q []byte) []byte { return q[:2] },
		"C15 empty":            func(q []byte) []byte { return nil },
		"C15 header alone":     func(q []byte) []byte { return append(q[:2:2], 0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0) },
	} {
		s := serve(t, "", dnstest.Options{Raw: func(q []byte, tcp bool) [][]byte {
			return [][]byte{forge(q), forge(q), reply(q, nil, good)}
		}})
		if got, err := ask(s).MX(t.Context(), "example.net"); err != nil || !reflect.DeepEqual(got, goodMX) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// A packet from elsewhere, with everything else right, never arrives.
func TestWrongSource(t *testing.T) {
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ports := make(chan int, 2)
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := server.ReadFrom(buf)
			if err != nil {
				return
			}
			ports <- from.(*net.UDPAddr).Port
			other.WriteTo(reply(buf[:n], nil, evil), from)
			server.WriteTo(reply(buf[:n], nil, good), from)
		}
	}()
	r := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: server.LocalAddr().(*net.UDPAddr).AddrPort()}}}, nil)
	for range 2 {
		if got, err := r.MX(t.Context(), "example.net"); err != nil || !reflect.DeepEqual(got, goodMX) {
			t.Errorf("C14: %+v, %v", got, err)
		}
	}
	if a, b := <-ports, <-ports; a == b {
		t.Errorf("two questions from one port, %d", a)
	}
}

// Records that are no concern of the question's, or are broken, do not matter
// beside one that is and is not.
func TestOddRecords(t *testing.T) {
	mx := raw(dns.TypeMX, 2+16, "\x00\x0a\x02mx\x07example\x03net\x00")
	ones := func(n int) string { return string(bytes.Repeat([]byte{1}, n)) }
	for _, tt := range []struct {
		name   string
		answer func(q []byte) []byte
		want   resolver.Kind // zero: goodMX
	}{
		{"C14 other owners", func(q []byte) []byte {
			return reply(q, nil, "example.org. MX 1 evil.example.org.", good, "evil.example.org. CNAME example.net.", "mx.example.net. A 192.0.2.1")
		}, 0},
		{"C14 other class", func(q []byte) []byte { return reply(q, nil, "example.net. CH MX 1 evil.example.org.", good) }, 0},
		{"C14 only other owners", func(q []byte) []byte { return reply(q, nil, "example.org. MX 1 evil.example.org.") }, resolver.Temporary},
		{"C14 another's alias", func(q []byte) []byte { return reply(q, nil, "example.org. CNAME example.net.") }, resolver.Temporary},
		{"C14 additional only", func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Extra, m.Answer = m.Answer, nil }, good)
		}, resolver.NoData},
		{"other types only", func(q []byte) []byte { return reply(q, nil, "example.net. A 192.0.2.1") }, resolver.NoData},
		{"owner in capitals", func(q []byte) []byte { return reply(q, nil, "EXAMPLE.net. MX 10 MX.Example.Net.") }, 0},
		{"NXDOMAIN with records", func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.Rcode = dns.RcodeNameError }, good)
		}, resolver.Temporary},
		{"header alone, REFUSED", func(q []byte) []byte { return append(q[:2:2], 0x80, 5, 0, 0, 0, 0, 0, 0, 0, 0) }, resolver.Temporary},
		{"unknown rcode", func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Rcode = 11 }) }, resolver.Temporary},
		{"rcode of EDNS", func(q []byte) []byte {
			return reply(q, func(m *dns.Msg) { m.SetEdns0(1232, false); m.Rcode = dns.RcodeBadVers })
		}, resolver.Temporary},

		{"C15 no data", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 0, ""), mx) }, 0},
		{"C15 no host", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 2, "\x00\x01"), mx) }, 0},
		{"C15 only without data", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 0, "")) }, resolver.Temporary},
		{"C15 compression loop", func(q []byte) []byte {
			return answering(q, raw(dns.TypeMX, 4, "\x00\x01\xc0"+string([]byte{byte(len(reply(q, nil)) + 14)})), mx)
		}, 0},
		{"C15 pointer beyond", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 4, "\x00\x01\xff\xff"), mx) }, 0},
		{"C15 label of 64", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 68, "\x00\x01\x40"+ones(64)+"\x00"), mx) }, 0},
		{"C15 name of 260", func(q []byte) []byte {
			long := ""
			for range 5 {
				long += "\x33" + ones(51)
			}
			return answering(q, raw(dns.TypeMX, 2+261, "\x00\x01"+long+"\x00"), mx)
		}, 0},
		{"C15 rdlength too long inside", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 2+4+3, "\x00\x01\x02ab\x00xyz"), mx) }, 0},
		{"C15 rdlength too short", func(q []byte) []byte { return answering(q, raw(dns.TypeMX, 4, "\x00\x01\x02ab\x00"), mx) }, resolver.Temporary},
		{"C15 rdlength beyond the end", func(q []byte) []byte { return answering(q, mx, raw(dns.TypeMX, 999, "\x00\x01")) }, resolver.Temporary},
		{"C15 fewer records than counted", func(q []byte) []byte { b := answering(q, mx); b[7] = 9; return b }, resolver.Temporary},
		{"C15 owner loops", func(q []byte) []byte {
			b := answering(q, mx)
			b[len(reply(q, nil))+1] = byte(len(reply(q, nil)))
			return b
		}, resolver.Temporary},
		{"C15 bytes after the end", func(q []byte) []byte { return append(answering(q, mx), "more"...) }, 0},
		{"C15 more than was asked for", func(q []byte) []byte {
			return answering(q, raw(dns.TypeTXT, 1300, ones(1300)), mx) // by TCP it is whole
		}, 0},
	} {
		s := serve(t, "", dnstest.Options{Raw: func(q []byte, tcp bool) [][]byte {
			if tcp {
				return [][]byte{dnstest.Frame(tt.answer(q))}
			}
			return [][]byte{tt.answer(q)}
		}})
		got, err := ask(s).MX(t.Context(), "example.net")
		if resolver.KindOf(err) != tt.want || err == nil && !reflect.DeepEqual(got, goodMX) {
			t.Errorf("%s: %+v, %v, want %v", tt.name, got, err, tt.want)
		}
	}
}

func TestOddAddressesAndTLSA(t *testing.T) {
	s := serve(t, "", dnstest.Options{Raw: func(q []byte, tcp bool) [][]byte {
		var m dns.Msg
		m.Unpack(q)
		typ := m.Question[0].Qtype
		var records [][]byte
		for _, n := range []int{0, 1, 2, 3, 4, 5, 15, 16, 17, 19} {
			records = append(records, raw(typ, n, "\x03\x01\x01\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13"[:n]))
		}
		return [][]byte{answering(q, records...)}
	}})
	for _, v6 := range []bool{false, true} {
		if got, err := ask(s).Addrs(t.Context(), "example.net", v6); err != nil || len(got.Addrs) != 1 || got.Addrs[0].Is6() != v6 {
			t.Errorf("C15: %+v, %v", got, err)
		}
	}
	got, err := ask(s).TLSA(t.Context(), 25, "example.net")
	if err != nil || len(got.Records) != 10 {
		t.Fatalf("C17: %+v, %v", got, err)
	}
	for i, rec := range got.Records {
		short := resolver.TLSA{Usage: 255, Selector: 255, Matching: 255}
		if i < 3 && (len(rec.Data) != 0 || rec.Usage != short.Usage || rec.Selector != short.Selector || rec.Matching != short.Matching) {
			t.Errorf("C17 of %d bytes: %+v", i, rec)
		}
		if i >= 3 && (rec.Usage != 3 || rec.Selector != 1 || rec.Matching != 1) {
			t.Errorf("C17: %+v", rec)
		}
	}
}

// A chain whose links come one answer at a time is asked along, and is as secure
// as its least secure answer.
func TestChainInPieces(t *testing.T) {
	s := serve(t, "", dnstest.Options{Raw: func(q []byte, tcp bool) [][]byte {
		var m dns.Msg
		m.Unpack(q)
		secure := func(yes bool) func(*dns.Msg) { return func(m *dns.Msg) { m.AuthenticatedData = yes } }
		switch m.Question[0].Name {
		case "a.example.":
			return [][]byte{reply(q, secure(true), "a.example. CNAME b.example.")}
		case "b.example.":
			return [][]byte{reply(q, secure(false), "c.example. CNAME d.example.", "b.example. CNAME c.example.")}
		}
		return [][]byte{reply(q, secure(true), m.Question[0].Name+" A 192.0.2.7")}
	}})
	for name, secure := range map[string]bool{"a.example": false, "b.example": false, "d.example": true} {
		got, err := ask(s).Addrs(t.Context(), name, false)
		if err != nil || got.Canonical != "d.example" || got.Secure != secure || len(got.Addrs) != 1 {
			t.Errorf("C6 %s: %+v, %v", name, got, err)
		}
	}
	if secure, err := ask(s).CNAMESecure(t.Context(), "a.example"); !secure || err != nil {
		t.Errorf("the first link: %v, %v", secure, err)
	}
}

// Whatever a server does with its time, a try is over in its own.
func TestPatience(t *testing.T) {
	cutOff := func(q []byte) []byte { return reply(q, func(m *dns.Msg) { m.Truncated = true }) }
	for name, opt := range map[string]dnstest.Options{
		"C13 dribble": {Drip: 30 * time.Millisecond, Raw: func(q []byte, tcp bool) [][]byte {
			if !tcp {
				return [][]byte{cutOff(q)}
			}
			var out [][]byte
			for _, b := range dnstest.Frame(reply(q, nil, good)) {
				out = append(out, []byte{b})
			}
			return out
		}},
		"C13 silence over TCP": {Raw: func(q []byte, tcp bool) [][]byte {
			if !tcp {
				return [][]byte{cutOff(q)}
			}
			return [][]byte{}
		}},
		"C14 forgeries without end": {Drip: time.Millisecond, Raw: func(q []byte, tcp bool) [][]byte {
			out := make([][]byte, 100000)
			for i := range out {
				out[i] = []byte("nonsense")
			}
			return out
		}},
		"C13 another answer over TCP": {Raw: func(q []byte, tcp bool) [][]byte {
			if !tcp {
				return [][]byte{cutOff(q)}
			}
			return [][]byte{dnstest.Frame(reply(q, func(m *dns.Msg) { m.Id++ }, evil)), dnstest.Frame(reply(q, nil, good))}
		}},
	} {
		s := serve(t, "", opt)
		begin := time.Now()
		_, err := waiting(brief, s).MX(t.Context(), "example.net")
		if took := time.Since(begin); resolver.KindOf(err) != resolver.Temporary || took > patience {
			t.Errorf("%s: %v after %v", name, err, took)
		}
	}
}

// A context that ends, ends a look-up in the middle of its try.
func TestContext(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := serve(t, "", dnstest.Options{Raw: func(q []byte, tcp bool) [][]byte {
		asked <- struct{}{}
		return [][]byte{}
	}})
	r := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}, Timeout: time.Hour, Attempts: 1}, nil)
	for _, why := range []error{context.Canceled, context.DeadlineExceeded} {
		ctx, cancel := context.WithCancel(t.Context())
		if why == context.DeadlineExceeded {
			ctx, cancel = context.WithTimeout(t.Context(), 50*time.Millisecond)
		}
		end := make(chan error)
		go func() { _, err := r.MX(ctx, "example.net"); end <- err }()
		if why == context.Canceled {
			<-asked
			cancel()
		}
		if err := <-end; resolver.KindOf(err) != resolver.Temporary || !errors.Is(err, why) {
			t.Errorf("%v: %v", why, err)
		}
		cancel()
	}
}

// One Resolver, many look-ups at once: nothing is mixed up, nothing stays behind.
func TestAtOnce(t *testing.T) {
	lines := ""
	for i := range 50 {
		lines += fmt.Sprintf("d%d.example. MX %d mx%d.example.\n", i, i, i)
	}
	s := serve(t, lines, dnstest.Options{})
	r := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: s.Addr()}}, Rotate: true}, nil)
	errs := make(chan error)
	for i := range 50 {
		go func() {
			got, err := r.MX(t.Context(), fmt.Sprintf("d%d.example", i))
			if err == nil && (len(got.MX) != 1 || int(got.MX[0].Pref) != i) {
				err = fmt.Errorf("d%d.example: %+v", i, got)
			}
			errs <- err
		}()
	}
	for range 50 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := s.Asked(); n != 50 {
		t.Errorf("50 look-ups asked %d times", n)
	}
}

// BenchmarkMX is one look-up over loopback; the server, in this process too,
// takes about half of it.
func BenchmarkMX(b *testing.B) {
	server, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	defer server.Close()
	go func() {
		buf := make([]byte, 2000)
		var answer []byte
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer == nil {
				answer = reply(buf[:n], nil, good)
			}
			copy(answer, buf[:2])
			server.WriteToUDPAddrPort(answer, from)
		}
	}()
	r := resolver.New(resolver.Config{Servers: []resolver.Server{{Addr: server.LocalAddr().(*net.UDPAddr).AddrPort()}}}, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.MX(b.Context(), "example.net"); err != nil {
			b.Fatal(err)
		}
	}
}
