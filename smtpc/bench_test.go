package smtpc

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtp"
)

// sink is a server that takes everything as fast as it can.
func sink(conn net.Conn, offers string) {
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 64<<10)
	io.WriteString(conn, "220 mx\r\n")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		reply := "250 ok\r\n"
		switch {
		case strings.HasPrefix(line, "EHLO"):
			reply = offers
		case line == "DATA\r\n":
			io.WriteString(conn, "354 go\r\n")
			for {
				text, err := in.ReadSlice('\n')
				if err != nil {
					return
				}
				if string(text) == ".\r\n" {
					break
				}
			}
		case strings.HasPrefix(line, "BDAT"):
			n := 0
			for _, c := range line[5:] {
				if c < '0' || c > '9' {
					break
				}
				n = 10*n + int(c-'0')
			}
			in.Discard(n)
		case line == "QUIT\r\n":
			return
		}
		io.WriteString(conn, reply)
	}
}

func benchmark(b *testing.B, offers string, size int) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go sink(conn, offers)
		}
	}()
	text := "Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", size/72)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
		if err := c.Greet(context.Background()); err != nil {
			b.Fatal(err)
		}
		tx := c.Send(context.Background(), smtp.Envelope{Sender: "s@x", Rcpts: []string{"r@y"}}, file(text))
		if !tx.Accepted() {
			b.Fatal(result(tx))
		}
		c.Quit()
	}
}

func BenchmarkData4K(b *testing.B) { benchmark(b, "250-mx\r\n250 PIPELINING\r\n", 4<<10) }
func BenchmarkBDAT4K(b *testing.B) {
	benchmark(b, "250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n", 4<<10)
}
func BenchmarkData10M(b *testing.B) { benchmark(b, "250-mx\r\n250 PIPELINING\r\n", 10<<20) }
func BenchmarkBDAT10M(b *testing.B) {
	benchmark(b, "250-mx\r\n250-CHUNKING\r\n250 PIPELINING\r\n", 10<<20)
}
