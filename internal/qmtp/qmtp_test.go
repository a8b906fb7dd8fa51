package qmtp

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
)

const sent = "8:\nhello\n\n,2:me,11:1:a,4:b@cd,,"

// TestSend plays a server that reads the package and gives an answer.
func TestSend(t *testing.T) {
	for _, c := range []struct {
		name, answer string
		stage        smtp.Stage
		fault        smtp.Fault
		codes        []int
	}{
		{"both accepted", "3:Kok,4:Kyes,", smtp.AtQuit, smtp.NoFault, []int{250, 250}},
		{"one refused", "3:Dno,3:Kok,", smtp.AtQuit, smtp.NoFault, []int{550, 250}},
		{"none accepted", "3:Dno,6:Zlater,", smtp.AtRcpt, smtp.NoFault, []int{550, 450}},
		{"closed before the answer", "", smtp.AtDot, smtp.Dropped, nil},
		{"closed between the answers", "3:Kok,", smtp.AtDot, smtp.Dropped, []int{250}},
		{"half an answer", "3:Ko", smtp.AtDot, smtp.Dropped, nil},
		{"another letter", "3:Xok,3:Kok,", smtp.AtDot, smtp.Garbled, nil},
		{"no netstring", "250 ok\r\n", smtp.AtDot, smtp.Garbled, nil},
		{"no comma", "3:Kok;3:Kok,", smtp.AtDot, smtp.Garbled, nil},
		{"empty", "0:,", smtp.AtDot, smtp.Garbled, nil},
		{"endless length", strings.Repeat("9", 30) + ":", smtp.AtDot, smtp.Garbled, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, server := net.Pipe()
			heard := make(chan string, 1)
			go func() {
				b := make([]byte, len(sent))
				io.ReadFull(server, b)
				heard <- string(b)
				io.WriteString(server, c.answer)
				server.Close()
			}()
			m := &smtp.Message{At: strings.NewReader("hello\n\n"), Size: 7}
			tx := Send(context.Background(), client, smtp.Envelope{Sender: "me", Rcpts: []string{"a", "b@cd"}}, m, time.Second, smtp.Security{})
			if got := <-heard; got != sent {
				t.Errorf("sent %q, want %q", got, sent)
			}
			if tx.Stage != c.stage || tx.Fault != c.fault || len(tx.Rcpts) != len(c.codes) {
				t.Fatalf("got %v %v %v", tx.Stage, tx.Fault, tx.Rcpts)
			}
			for i, code := range c.codes {
				if tx.Rcpts[i].Code != code {
					t.Errorf("recipient %d: %d, want %d", i, tx.Rcpts[i].Code, code)
				}
			}
		})
	}
}

// TestShrunken sends a message that is shorter than its file said: what was
// promised must not be made up, and is not in doubt.
func TestShrunken(t *testing.T) {
	client, server := net.Pipe()
	go io.Copy(io.Discard, server)
	m := &smtp.Message{At: strings.NewReader("short\n"), Size: 100}
	tx := Send(context.Background(), client, smtp.Envelope{Rcpts: []string{"a"}}, m, time.Second, smtp.Security{})
	if tx.Fault != smtp.Unreadable || tx.InDoubt() {
		t.Errorf("got %v at %v", tx.Fault, tx.Stage)
	}
}

// TestCancel ends with its context while the server is silent.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		ctx, stop := context.WithTimeout(context.Background(), time.Minute)
		defer stop()
		m := &smtp.Message{At: strings.NewReader("x\n"), Size: 2}
		tx := Send(ctx, client, smtp.Envelope{Rcpts: []string{"a"}}, m, time.Hour, smtp.Security{})
		if tx.Stage != smtp.AtDot || tx.Fault != smtp.TimedOut {
			t.Errorf("got %v at %v", tx.Fault, tx.Stage)
		}
	})
}

// TestCancelled does not begin to wait when its context has ended already.
func TestCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := net.Pipe()
		go io.Copy(io.Discard, server)
		ctx, stop := context.WithCancel(context.Background())
		stop()
		start := time.Now()
		m := &smtp.Message{At: strings.NewReader("x\n"), Size: 2}
		tx := Send(ctx, client, smtp.Envelope{Rcpts: []string{"a"}}, m, time.Hour, smtp.Security{})
		if took := time.Since(start); tx.Fault != smtp.TimedOut || took != 0 {
			t.Errorf("got %v after %v", tx.Fault, took)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add("3:Kok,")
	f.Add("0:,")
	f.Add("99999999999:K")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := answer(bufio.NewReader(strings.NewReader(s)))
		if err == nil && r.Code != 250 && r.Code != 450 && r.Code != 550 {
			t.Errorf("%q gave %v", s, r)
		}
		if err != nil && !errors.Is(err, errGarbled) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q gave %v", s, err)
		}
	})
}
