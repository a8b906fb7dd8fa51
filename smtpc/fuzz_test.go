package smtpc

import (
	"bytes"
	"context"
	"net"
	"regexp"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
)

// counted knows how much was handed over.
type counted struct {
	net.Conn
	n atomic.Int64
}

func (c *counted) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.Conn.Write(b)
}

// took is a whole line that accepts: what has to come after the end of content.
var took = regexp.MustCompile(`(?m)^2[0-9][0-9]( [^\n]*)?\r?\n`)

// FuzzConversation lets a server say anything, in turns that "\xff" separates:
// after each it hears something from us. We must not crash, nor hang, nor find
// the message accepted unless the server said so, whole, after its end.
func FuzzConversation(f *testing.F) {
	f.Add([]byte("220 x\r\n\xff250-x\r\n250 PIPELINING\r\n\xff250 a\r\n250 b\r\n354 c\r\n\xff250 d\r\n"))
	f.Add([]byte("220 x\r\n\xff250-x\r\n250-CHUNKING\r\n250 PIPELINING\r\n\xff250 a\r\n250 b\r\n250 c\r\n"))
	f.Add([]byte("220 x\r\n\xff250-x\r\n250 SIZE 10\r\n\xff501 a\r\n\xff250 b\r\n\xff250 c\r\n\xff354 d\r\n\xff250 e\r\n"))
	f.Add([]byte("220 x\r\n\xff500 x\r\n\xff250 x\r\n\xff250 a\r\n\xff250 b\r\n\xff354 c\r\n\xff250-d\r\n550 d\r\n"))
	f.Add([]byte("220 x\r\n\xff250-x\r\n250 PIPELINING\r\n\xff250 a\r\n550 b\r\n354 c\r\n\xff250 d\r\n"))
	f.Add([]byte("220 x\r\n\xff250-x\r\n250 PIPELINING\r\n\xff250 a\r\n250 b\r\n354 c\r\n250 d\r\n"))
	f.Fuzz(func(t *testing.T, says []byte) {
		synctest.Test(t, func(t *testing.T) {
			mine, theirs := smtptest.Pipe(1 << 20)
			client := &counted{Conn: mine}
			converse(t, client, &client.n, theirs, says)
		})
		synctest.Test(t, func(t *testing.T) {
			mine, theirs := smtptest.Pipe(1 << 20)
			client := &countedLone{lone: lone{End: mine}}
			converse(t, client, &client.n, theirs, says)
		})
	})
}

// countedLone is counted where nothing else goes on.
type countedLone struct {
	lone
	n atomic.Int64
}

func (c *countedLone) Offer(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return c.lone.Offer(b)
}

func converse(t *testing.T, client net.Conn, said *atomic.Int64, theirs net.Conn, says []byte) {
	const content = "hello\n"
	type turn struct {
		at   int64 // handed over by us when it was said
		text []byte
	}
	var turns []turn
	var read []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer theirs.Close()
		buf := make([]byte, 4096)
		for _, text := range bytes.Split(says, []byte{0xff}) {
			turns = append(turns, turn{said.Load(), text})
			if _, err := theirs.Write(text); err != nil {
				return
			}
			n, err := theirs.Read(buf)
			if read = append(read, buf[:n]...); err != nil {
				return
			}
		}
	}()

	c := New(client, Params{Helo: "me", Timeout: time.Minute})
	var tx smtp.Transaction
	err := c.Greet(context.Background())
	if err == nil {
		tx = c.Send(context.Background(), smtp.Envelope{Sender: "s@x", Rcpts: []string{"r@y"}}, file(content))
	}
	c.Quit()
	<-done
	if err != nil || !tx.Accepted() {
		if tx.Stage == smtp.AtQuit {
			t.Errorf("AtQuit with %v", tx.Fault)
		}
		return
	}
	end := -1
	for _, wire := range []string{"hello\r\n.\r\n", " LAST\r\nhello\r\n"} {
		if i := bytes.Index(read, []byte(wire)); i >= 0 {
			end = i + len(wire)
		}
	}
	var after []byte
	for _, turn := range turns {
		if end >= 0 && turn.at >= int64(end) {
			after = append(after, turn.text...)
		}
	}
	if !took.Match(after) || tx.Reply.Code/100 != 2 || len(tx.Rcpts) != 1 || !tx.Rcpts[0].Positive() {
		t.Errorf("accepted (%v), after the end came only %q", result(tx), after)
	}
}
