package engine

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"postrider/internal/sink"
	"postrider/internal/spawn"
)

// BenchmarkDelivery is a message of 4 KB for one of 50 destinations, a hundred at
// a time; the server is in the same process, and counts.
func BenchmarkDelivery(b *testing.B) {
	home := b.TempDir()
	if err := os.MkdirAll(filepath.Join(home, "control"), 0o755); err != nil {
		b.Fatal(err)
	}
	var routes strings.Builder
	for i := range 50 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		s := sink.Serve(l, sink.Config{})
		defer s.Close()
		fmt.Fprintf(&routes, "d%d.example:[127.0.0.1]:%d\n", i, l.Addr().(*net.TCPAddr).Port)
	}
	message := filepath.Join(home, "message")
	for name, text := range map[string]string{
		"control/me": "bench.example\n", "control/concurrencyremote": "255\n", "control/concurrencyperhost": "255\n",
		"control/smtproutes": routes.String(),
		"message":            "Subject: bench\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", 56),
	} {
		if err := os.WriteFile(filepath.Join(home, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	e := New(home, 255)
	defer e.Close()
	b.ReportAllocs()
	orders := make(chan int)
	var all sync.WaitGroup
	for range 100 {
		all.Go(func() {
			for i := range orders {
				f, err := os.Open(message)
				if err != nil {
					b.Error(err)
					return
				}
				host := fmt.Sprintf("d%d.example", i%50)
				line := e.Deliver(b.Context(), spawn.Delivery{MessID: fmt.Sprint(i), Sender: "me@bench.example", Recipient: "r@" + host, Host: host, Message: f})
				f.Close()
				if line[0] != 'K' {
					b.Errorf("%s", line)
				}
			}
		})
	}
	for i := 0; b.Loop(); i++ {
		orders <- i
	}
	close(orders)
	all.Wait()
}
