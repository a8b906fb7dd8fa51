package smtptest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestPipeCarries(t *testing.T) {
	for _, size := range []int{1, 7, 4096} {
		synctest.Test(t, func(t *testing.T) {
			a, b := Pipe(size)
			text := strings.Repeat("0123456789", 1000)
			var both sync.WaitGroup
			for _, way := range [][2]*End{{a, b}, {b, a}} {
				both.Go(func() {
					if n, err := io.WriteString(way[0], text); n != len(text) || err != nil {
						t.Errorf("size %d: wrote %d, %v", size, n, err)
					}
					way[0].CloseWrite()
				})
				both.Go(func() {
					got, err := io.ReadAll(way[1])
					if string(got) != text || err != nil {
						t.Errorf("size %d: read %d bytes, %v", size, len(got), err)
					}
				})
			}
			both.Wait()
		})
	}
}

func TestPipeSegments(t *testing.T) {
	a, b := Pipe(100)
	a.Segment(3)
	b.Write([]byte("abcdefg"))
	b.Close()
	var got []string
	buf := make([]byte, 10)
	for {
		n, err := a.Read(buf)
		if err != nil {
			break
		}
		got = append(got, string(buf[:n]))
	}
	if s := strings.Join(got, " "); s != "abc def g" {
		t.Errorf("read %q", s)
	}
}

// What each side meets after each kind of end.
func TestPipeEnds(t *testing.T) {
	for _, tt := range []struct {
		name                         string
		end                          func(b *End)
		read, write, mine, mineWrite error // at a after the unread bytes; at b
	}{
		{"close", func(b *End) { b.Close() }, io.EOF, syscall.EPIPE, net.ErrClosed, net.ErrClosed},
		{"half", func(b *End) { b.CloseWrite() }, io.EOF, nil, nil, net.ErrClosed},
		{"reset", func(b *End) { b.Reset() }, syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET, syscall.ECONNRESET},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, b := Pipe(100)
			b.Write([]byte("unread"))
			a.Write([]byte("x"))
			tt.end(b)
			buf := make([]byte, 10)
			n, err := a.Read(buf)
			if lost := tt.name == "reset"; lost != (n == 0) || lost != (err != nil) {
				t.Errorf("unread bytes: %d, %v", n, err)
			}
			check := func(what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", what, err, want)
				}
			}
			_, err = a.Read(buf)
			check("peer reads", err, tt.read)
			_, err = a.Write([]byte("y"))
			check("peer writes", err, tt.write)
			_, err = b.Read(buf)
			check("reads itself", err, tt.mine)
			_, err = b.Write([]byte("z"))
			check("writes itself", err, tt.mineWrite)
		})
	}
}

// Deadlines end calls that wait, also when they are set under them, and can be
// moved; what was written before a deadline counts.
func TestPipeDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := Pipe(4)
		defer b.Close()
		defer a.Close()
		start := time.Now()
		elapsed := func(what string, err, want error, after time.Duration) {
			t.Helper()
			if !errors.Is(err, want) || time.Since(start) != after {
				t.Errorf("%s: %v after %v, want %v after %v", what, err, time.Since(start), want, after)
			}
		}
		buf := make([]byte, 10)

		a.SetReadDeadline(start.Add(time.Second))
		_, err := a.Read(buf)
		elapsed("read", err, os.ErrDeadlineExceeded, time.Second)
		_, err = a.Read(buf)
		elapsed("read again", err, os.ErrDeadlineExceeded, time.Second)

		a.SetReadDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { a.SetReadDeadline(time.Unix(1, 0)) })
		_, err = a.Read(buf)
		elapsed("read, deadline moved", err, os.ErrDeadlineExceeded, 2*time.Second)

		a.SetDeadline(start.Add(3 * time.Second))
		n, err := a.Write(bytes.Repeat([]byte("x"), 10))
		elapsed("write", err, os.ErrDeadlineExceeded, 3*time.Second)
		if n != 4 {
			t.Errorf("wrote %d bytes into a buffer of 4", n)
		}

		a.SetDeadline(time.Time{})
		time.AfterFunc(time.Second, func() { a.Close() })
		_, err = a.Read(buf)
		elapsed("read, closed", err, net.ErrClosed, 4*time.Second)
		n, err = b.Read(buf)
		elapsed("the rest", err, nil, 4*time.Second)
		if n != 4 {
			t.Errorf("read %d bytes", n)
		}
	})
}
