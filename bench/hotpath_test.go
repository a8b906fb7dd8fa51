package bench

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/control"
	"postrider/internal/dnstest"
	"postrider/internal/report"
	"postrider/internal/sink"
	"postrider/internal/smtp"
	"postrider/internal/smtptest"
	"postrider/remote"
	"postrider/routes"
	"postrider/tcpto"
	"postrider/tlspolicy"
	"postrider/tlspolicy/handshake"
)

// exchange is a listener in memory, where a dialled connection comes out.
type exchange chan net.Conn

func (e exchange) Accept() (net.Conn, error) {
	c, ok := <-e
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (e exchange) Close() error   { close(e); return nil }
func (e exchange) Addr() net.Addr { return &net.TCPAddr{} }

func (e exchange) dial(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
	client, server := smtptest.Pipe(64 << 10)
	e <- server
	return client, nil
}

// engine delivers to a sink in this process, by names that it makes up.
func engine(b *testing.B, dir string) (*remote.Engine, *sink.Server) {
	b.Helper()
	l := make(exchange)
	s := sink.Serve(l, sink.Config{})
	b.Cleanup(s.Close)
	zone := dnstest.Zone{"example.net. MX": {"10 mx.example.net."}, "mx.example.net. A": {"192.0.2.7"}}
	return &remote.Engine{
		Control:     control.Snapshot{HeloHost: "client.example", TimeoutConnect: time.Minute, TimeoutRemote: 20 * time.Minute},
		Resolver:    zone.Resolver(),
		Routes:      smtpRoutes(dir),
		AuthSenders: routes.ParseAuthSenders(nil),
		DomainIPs:   routes.ParseDomainIPs(nil),
		QMTPRoutes:  routes.ParseQMTP(nil),
		Timeouts:    tcpto.Open(filepath.Join(dir, "tcpto"), filepath.Join(dir, "tcpto6"), time.Now),
		TLS:         tlspolicy.New(tlspolicy.Config{}),
		UnderTLS:    remote.InProcess{Secure: handshake.Secure},
		Dial:        l.dial,
		Own:         func(netip.Addr) bool { return false },
	}, s
}

func smtpRoutes(dir string) *routes.SMTP {
	name := filepath.Join(dir, "smtproutes")
	return routes.OpenSMTP(name, name+".cdb", name+".lock")
}

// BenchmarkDeliver is a delivery but for the process and the kernel's network:
// from arguments to the bytes of the report. Both sides of the conversation, and
// for MX both sides of DNS, are in it.
func BenchmarkDeliver(b *testing.B) {
	for _, c := range []struct {
		name, host string
		size       int
	}{
		{"MX/4kB", "example.net", 4 << 10},
		{"literal/4kB", "[192.0.2.7]", 4 << 10},
		{"literal/1MB", "[192.0.2.7]", 1 << 20},
	} {
		b.Run(c.name, func(b *testing.B) { deliver(b, c.host, text(c.size)) })
	}
}

func deliver(b *testing.B, host string, message []byte) {
	e, s := engine(b, b.TempDir())
	args := []string{host, "sender@client.example", "recipient@example.net"}
	var out []byte
	n := int64(0)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		n++
		job, cause := remote.ParseJob(args, &smtp.Message{At: bytes.NewReader(message), Size: int64(len(message))})
		if cause != report.Accepted {
			b.Fatal(cause)
		}
		o := e.Deliver(b.Context(), job)
		out = o.AppendTo(out[:0])
		if !bytes.HasPrefix(out, []byte("r\x00K")) {
			b.Fatalf("%q", out)
		}
	}
	if s.Taken.Load() != n {
		b.Errorf("%d messages taken of %d", s.Taken.Load(), n)
	}
}

// text is a message of lines without leading dots.
func text(size int) []byte {
	head := "From: sender@client.example\nSubject: bench\n\n"
	line := strings.Repeat("x", 75) + "\n"
	return []byte(head + strings.Repeat(line, (size-len(head))/len(line)))
}

// BenchmarkDotStuffing is the content's way through memory: at least 1 GB/s.
func BenchmarkDotStuffing(b *testing.B) {
	dotted := strings.Repeat("."+strings.Repeat("x", 74)+"\n", 1<<20/76)
	for _, c := range []struct {
		name string
		src  []byte
	}{{"text", text(1 << 20)}, {"a dot in every line", []byte(dotted)}} {
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 64<<10)
			b.SetBytes(int64(len(c.src)))
			b.ReportAllocs()
			for b.Loop() {
				var e smtp.Encoder
				for rest := c.src; len(rest) > 0; {
					n := min(len(rest), 32<<10)
					dst = e.Append(dst[:0], rest[:n])
					rest = rest[n:]
				}
			}
		})
	}
}

// BenchmarkEHLO is the parsing of what a large provider offers.
func BenchmarkEHLO(b *testing.B) {
	lines := []string{"mx.example.net at your service, [192.0.2.1]", "SIZE 157286400", "8BITMIME", "STARTTLS", "ENHANCEDSTATUSCODES",
		"PIPELINING", "CHUNKING", "SMTPUTF8", "AUTH PLAIN LOGIN XOAUTH2", "DSN", "REQUIRETLS"}
	wire := ""
	for i, l := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		wire += "250" + sep + l + "\r\n"
	}
	b.ReportAllocs()
	for b.Loop() {
		reply, err := smtp.NewReader(strings.NewReader(wire)).ReadEHLO()
		if err != nil {
			b.Fatal(err)
		}
		if x := smtp.ParseExtensions(reply); !x.Pipelining || !x.Chunking || x.Size != 157286400 {
			b.Fatalf("%+v", x)
		}
	}
}

// BenchmarkRoute looks one host up among 100,000 in smtproutes, by the cdb, as
// each process does: open, check that it is fresh, look, close.
func BenchmarkRoute(b *testing.B) {
	dir := b.TempDir()
	var file strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&file, "host%d.example.net:relay%d.example.org:2525\n", i, i%97)
	}
	if err := os.WriteFile(filepath.Join(dir, "smtproutes"), []byte(file.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	// A file that has just changed might change again within the same tick of its
	// clock, so its cdb would not count.
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(filepath.Join(dir, "smtproutes"), old, old); err != nil {
		b.Fatal(err)
	}
	r := smtpRoutes(dir)
	r.Lookup("compiles.it.example") // the first look-up writes the cdb
	for _, c := range []struct {
		name, host, relay string
	}{
		{"found", "host99999.example.net", "relay89.example.org"},
		{"missing", "host100000.a.long.way.down.example.net", ""},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, _, err := r.Lookup(c.host); err != nil || got.Relay != c.relay {
					b.Fatalf("%+v, %v", got, err)
				}
			}
		})
	}
}

// BenchmarkTimeoutTable asks a full tcpto about an address, as each process does.
func BenchmarkTimeoutTable(b *testing.B) {
	dir := b.TempDir()
	file := filepath.Join(dir, "tcpto")
	if err := os.WriteFile(file, make([]byte, 1024), 0o600); err != nil {
		b.Fatal(err)
	}
	for i := range 64 {
		tcpto.Open(file, file+"6", time.Now).TimedOut(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
	}
	unknown := netip.MustParseAddr("198.51.100.1")
	b.ReportAllocs()
	for b.Loop() {
		if tcpto.Open(file, file+"6", time.Now).Blocked(unknown) {
			b.Fatal("blocked")
		}
	}
}
