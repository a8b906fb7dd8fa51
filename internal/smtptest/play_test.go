package smtptest

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
)

// talk is a client: what it writes, and how many lines it reads in between.
type talk struct {
	say  string
	hear int
}

func TestPlay(t *testing.T) {
	greeting := "< 220 mx\n> EHLO me\n< 250-mx\n< 250 X\n"
	for _, c := range []struct {
		why, script string
		client      []talk
		wants       string // a deviation; "" is none
	}{
		{"as written", greeting + "> QUIT\n", []talk{{"", 1}, {"EHLO me\r\n", 2}, {"QUIT\r\n", 0}}, ""},
		{"QUIT need not be written", greeting, []talk{{"", 1}, {"EHLO me\r\n", 2}, {"QUIT\r\n", 0}}, ""},
		{"nor said", greeting, []talk{{"", 1}, {"EHLO me\r\n", 2}}, ""},
		{"QUIT is demanded", greeting + "> QUIT\n", []talk{{"", 1}, {"EHLO me\r\n", 2}}, `then nothing (EOF), not "QUIT"`},
		{"another line", greeting, []talk{{"", 1}, {"EHLO you\r\n", 0}}, `said "EHLO you\r\n", not "EHLO me"`},
		{"a bare LF", greeting, []talk{{"", 1}, {"EHLO me\n", 0}}, `said "EHLO me\n"`},
		{"an early talker", greeting, []talk{{"EHLO me\r\n", 3}}, "without waiting for"},
		{"pipelined and allowed", greeting + "> A\n> B\n< 1\n< 2\n", []talk{{"", 1}, {"EHLO me\r\n", 2}, {"A\r\nB\r\n", 2}}, ""},
		{"pipelined and not allowed", greeting + "> A\n< 1\n> B\n< 2\n", []talk{{"", 1}, {"EHLO me\r\n", 2}, {"A\r\nB\r\n", 2}}, "without waiting for"},
		{"more than the script", greeting, []talk{{"", 1}, {"EHLO me\r\n", 2}, {"MAIL\r\n", 0}}, "the script is at its end"},
		{"a pattern", "< 220\n>~ ^[AB]$\n", []talk{{"", 1}, {"B\r\n", 0}}, ""},
		{"a pattern not met", "< 220\n>~ ^[AB]$\n", []talk{{"", 1}, {"C\r\n", 0}}, `said "C\r\n"`},
		{"content", ">data\n< 250\n", []talk{{"a\r\n..b\r\n.\r\n", 1}}, ""},
		{"content and QUIT in one flight", ">data\n< 250\n> QUIT\n", []talk{{"a\r\n..b\r\n.\r\nQUIT\r\n", 1}}, ""},
		{"unstuffed content", ">data\n< 250\n", []talk{{"a\r\n.b\r\n.\r\n", 0}}, "other content from byte 4"},
		{"half the content", ">data\n< 250\n", []talk{{"a\r\n", 0}}, "stopped after 3 of 11 bytes"},
		{"some content", ">bytes 2\n!close\n", []talk{{"a\r\n..b\r\n", 0}}, ""},
		{"BDAT", ">bdat\n< 250\n", []talk{{"BDAT 7 LAST\r\na\r\n.b\r\n", 1}}, ""},
		{"BDAT in two", ">bdat some\n< 250\n>bdat\n< 250\n", []talk{{"BDAT 2\r\na\r", 1}, {"BDAT 5 LAST\r\n\n.b\r\n", 1}}, ""},
		{"BDAT of something else", ">bdat\n< 250\n", []talk{{"BDAT 2 LAST\r\nab", 0}}, "2 bytes of other content"},
		{"DATA for BDAT", ">bdat\n< 250\n", []talk{{"DATA\r\n", 0}}, "not BDAT"},
		{"exact bytes", ">+ \"a\\x00\"\n< 1\n", []talk{{"a\x00", 1}}, ""},
		{"other bytes", ">+ \"a\\x00\"\n< 1\n", []talk{{"ab", 0}}, "other content from byte 1"},
		{"from elsewhere", "!from 192.0.2.1\n> A\n", []talk{{"A\r\n", 0}}, "came from , not 192.0.2.1"},
		{"bytes as they are", "<+ \"22\" \"0\"*2 \"\\r\\n\"\n", []talk{{"", 1}}, ""},
		// The exchange of RFC 7677 §3.
		{"SCRAM", "!scram user pencil\n< 235\n", scram("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", 1, talk{"\r\n", 1}), ""},
		{"SCRAM without a proof", "!scram user pencil\n< 235\n", scram("AAAA", 0), "knows the password: false"},
		{"SCRAM with a wrong proof, as wanted", "!scram user pencil wrong\n< 535\n", scram("AAAA", 1), ""},
		{"SCRAM as somebody else", "!scram you pencil\n< 235\n", scram("", 0), `began SCRAM with "n,,n=user,`},
		{"PLAIN for SCRAM", "!scram user pencil\n< 235\n", []talk{{"AUTH PLAIN AAAA\r\n", 0}}, "and base64"},
		{"nobody hears", "> A\n< 1\n", []talk{{"A\r\n", 0}}, "gone before it heard"},
	} {
		t.Run(c.why, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				got := strings.Join(playTo(c.script, c.client), "\n")
				if c.wants == "" && got != "" || !strings.Contains(got, c.wants) {
					t.Errorf("deviations are %q, want %q", got, c.wants)
				}
			})
		})
	}
}

// scram is a client's side of the exchange of RFC 7677 §3, with a proof, after
// which it hears some lines.
func scram(proof string, hear int, more ...talk) []talk {
	const nonce = "rOprNGfwEbeRWgbNEkqO"
	line := base64.StdEncoding.EncodeToString([]byte("n,,n=user,r=" + nonce))
	final := base64.StdEncoding.EncodeToString([]byte("c=biws,r=" + nonce + scramNonce + ",p=" + proof))
	return append([]talk{{"AUTH SCRAM-SHA-256 " + line + "\r\n", 1}, {final + "\r\n", hear}}, more...)
}

// loose is one end of a net.Pipe whose writes wait for nobody.
type loose struct {
	net.Conn
	queue chan []byte
}

func (l *loose) Write(b []byte) (int, error) {
	l.queue <- append([]byte{}, b...)
	return len(b), nil
}

func (l *loose) Close() error { close(l.queue); return nil }

func (l *loose) pump() {
	for b := range l.queue {
		l.Conn.Write(b)
	}
	l.Conn.Close()
}

func playTo(script string, client []talk) []string {
	s, err := ParseScript(script)
	if err != nil {
		return []string{err.Error()}
	}
	d := &Dialogue{Servers: map[string]Script{"x": s}, Message: []byte("a\n.b\n")}
	w := d.World()
	w.Settle = synctest.Wait
	a, b := net.Pipe()
	l := &loose{Conn: a, queue: make(chan []byte, 100)}
	go l.pump()
	c, e := Link(l, b, Whole, 1)
	w.Serve("x", e, "")
	r := bufio.NewReader(c)
	for _, t := range client {
		if t.say != "" {
			io.WriteString(c, t.say)
		}
		for range t.hear {
			r.ReadString('\n')
		}
	}
	if len(client) > 0 && client[len(client)-1].hear == 0 {
		w.settle()
	}
	go io.Copy(io.Discard, r)
	c.Close()
	w.settle()
	return w.Finish()
}

func TestUnreadAndUnforeseen(t *testing.T) {
	s, _ := ParseScript("< 220\n")
	d := &Dialogue{Servers: map[string]Script{"x": s}}
	if got := strings.Join(d.World().Finish(), ""); !strings.Contains(got, "connection 1 of 1 did not come") {
		t.Errorf("deviations are %q", got)
	}
	w := d.World()
	a, b := net.Pipe()
	w.Serve("y", b, "")
	if _, err := a.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an unforeseen connection reads %v", err)
	}
	if got := strings.Join(w.Finish(), ""); !strings.Contains(got, "y: connection 1, and there is no script") {
		t.Errorf("deviations are %q", got)
	}
}

func TestForgottenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := ParseScript("< 220\n")
		w := (&Dialogue{Servers: map[string]Script{"x": s}}).World()
		w.Settle = synctest.Wait
		a, b := net.Pipe()
		a, b = Link(a, b, Whole, 1)
		w.Serve("x", b, "")
		bufio.NewReader(a).ReadString('\n')
		if got := strings.Join(w.Finish(), ""); !strings.Contains(got, "left the connection open") {
			t.Errorf("deviations are %q", got)
		}
	})
}

func TestOptional(t *testing.T) {
	s, _ := ParseScript("!optional\n< 220 mx\n> EHLO me\n")
	w := (&Dialogue{Servers: map[string]Script{"x": s}}).World()
	a, b := net.Pipe()
	w.Serve("x", b, "")
	a.Close()
	if got := w.Finish(); len(got) != 0 {
		t.Errorf("deviations are %q", got)
	}
}

func TestPlayTLS(t *testing.T) {
	roots := x509.NewCertPool()
	ca, err := x509.ParseCertificate(Authority())
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	for _, c := range []struct {
		why, terms string
		config     *tls.Config
		wants      string
	}{
		{"a good certificate", "mx.example.net sni=mx.example.net", &tls.Config{ServerName: "mx.example.net"}, ""},
		{"another name is asked for", "mx.example.net sni=other fails", &tls.Config{ServerName: "wrong.example"}, ""},
		{"SNI is looked at", "mx.example.net sni=other", &tls.Config{ServerName: "mx.example.net"}, `wants server name "mx.example.net", not "other"`},
		{"expired", "expired:mx.example.net fails", &tls.Config{ServerName: "mx.example.net"}, ""},
		{"self-signed", "self:mx.example.net fails", &tls.Config{ServerName: "mx.example.net"}, ""},
		{"common name alone", "cn:mx.example.net fails", &tls.Config{ServerName: "mx.example.net"}, ""},
		{"it should have failed", "mx.example.net fails", &tls.Config{ServerName: "mx.example.net"}, "took the certificate"},
		{"it should not have failed", "self:mx.example.net", &tls.Config{ServerName: "mx.example.net"}, "broke the handshake"},
		{"old TLS", "mx.example.net max=1.1 fails", &tls.Config{ServerName: "mx.example.net"}, ""},
		{"a client certificate", "mx.example.net client=us.example", &tls.Config{ServerName: "mx.example.net", Certificates: []tls.Certificate{Certificate("us.example")}}, ""},
		{"no client certificate", "mx.example.net client=us.example", &tls.Config{ServerName: "mx.example.net"}, "showed not the certificate"},
	} {
		t.Run(c.why, func(t *testing.T) {
			s, err := ParseScript("!tls " + c.terms + "\n> A\n< B\n")
			if err != nil {
				t.Fatal(err)
			}
			w := (&Dialogue{Servers: map[string]Script{"x": s}}).World()
			a, b := net.Pipe()
			w.Serve("x", b, "")
			c.config.RootCAs = roots
			conn := tls.Client(a, c.config)
			if conn.Handshake() == nil {
				io.WriteString(conn, "A\r\n")
				bufio.NewReader(conn).ReadString('\n')
			}
			a.Close()
			got := strings.Join(w.Finish(), "\n")
			if c.wants == "" && got != "" || !strings.Contains(got, c.wants) {
				t.Errorf("deviations are %q, want %q", got, c.wants)
			}
		})
	}
}

func TestArrival(t *testing.T) {
	for _, arrival := range Arrivals() {
		a, b := net.Pipe()
		c, s := Link(a, b, arrival, 7)
		go func() { s.Write([]byte("hello, world")); s.Close() }()
		buf := make([]byte, 100)
		n, _ := c.Read(buf)
		if arrival == Bytes && n != 1 {
			t.Errorf("%v: the first read has %d bytes", arrival, n)
		}
		rest, err := io.ReadAll(c)
		if got := string(buf[:n]) + string(rest); got != "hello, world" || err != nil {
			t.Errorf("%v: read %q, %v", arrival, got, err)
		}
	}
}

// TestMaterialIsStable: files may hold digests of these certificates.
func TestMaterialIsStable(t *testing.T) {
	for _, name := range []string{"mx.example.net", "self:mx.example.net"} {
		a, b := Certificate(name), Certificate(name)
		if string(a.Certificate[0]) != string(b.Certificate[0]) {
			t.Errorf("%s differs from run to run", name)
		}
	}
	got, err := expand("TLSA {tlsa 3 1 1 mx.example.net} {digest sha1 mx.example.net}")
	if f := strings.Fields(got); err != nil || len(f) != 6 || len(f[4]) != 64 || len(f[5]) != 40 {
		t.Errorf("material is %q, %v", got, err)
	}
}
