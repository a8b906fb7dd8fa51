package smtpc

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
)

// upTo354 takes a client to the moment when content is due.
const upTo354 = pipelining + group + accepted

// long is a message that no buffer on the way can hold.
func long() *smtp.Message {
	return file("Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", 20000))
}

func TestContent(t *testing.T) {
	wire := func(s string) string { return upTo354 + `>+ "` + s + `"` + "\n< 250 queued" }
	runDeliveries(t, []delivery{
		{name: "C69 empty", msg: file(""), script: wire(`.\r\n`), want: "QUIT 250 [250]"},
		{name: "empty stream", msg: stream(""), script: wire(`.\r\n`), want: "QUIT 250 [250]"},
		{name: "stream", msg: stream(small), script: upToDot + "< 250 queued", want: "QUIT 250 [250]"},
		{name: "C70 CR alone", msg: file("a\r.\r\nb\n"), script: wire(`a\r\n..\r\nb\r\n.\r\n`), want: "QUIT 250 [250]"},
		{name: "C70 dots", msg: file(".\n..\n.\n"), script: wire(`..\r\n...\r\n..\r\n.\r\n`), want: "QUIT 250 [250]"},
		{name: "C68 partial line", msg: file("a\nb"), script: pipelining, want: "MAIL partial line"},
		{name: "C68 partial line of a stream", msg: stream("a\nb"), script: upTo354, want: "body partial line [250]"},
	})
}

// C69: a message that cannot be read to its end is never ended by a dot.
func TestUnreadable(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, tt := range []struct {
		name   string
		msg    func() *smtp.Message
		script string
		want   string
	}{
		{"file", func() *smtp.Message { return &smtp.Message{At: strings.NewReader("a\n"), Size: 1000} }, pipelining, "MAIL message unreadable"},
		{"stream", func() *smtp.Message {
			return &smtp.Message{Stream: io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(broken))}
		}, upTo354, "body message unreadable [250]"},
		{"stream cut short", func() *smtp.Message {
			return &smtp.Message{Stream: io.MultiReader(strings.NewReader("a\n"), iotest.ErrReader(io.ErrUnexpectedEOF))}
		}, upTo354, "body message unreadable [250]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
				defer c.Quit()
				if err := c.Greet(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got := result(c.Send(context.Background(), rcpts("r@y.example"), tt.msg())); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// A file that shrinks between its examination and its sending.
func TestShrinking(t *testing.T) {
	text := strings.Repeat("x\n", 3*blockSize)
	for _, tt := range []struct{ offers, replies string }{
		{"250 PIPELINING\r\n", "250 ok\r\n250 ok\r\n354 go\r\n"},
		{"250-PIPELINING\r\n250 CHUNKING\r\n", "250 ok\r\n250 ok\r\n"},
	} {
		synctest.Test(t, func(t *testing.T) {
			mine, theirs := smtptest.Pipe(4 << 20)
			got := make(chan string)
			go func() {
				in := bufio.NewReader(theirs)
				io.WriteString(theirs, "220 mx\r\n")
				in.ReadString('\n')
				io.WriteString(theirs, "250-mx\r\n"+tt.offers)
				in.ReadString('\n')
				io.WriteString(theirs, tt.replies)
				rest, _ := io.ReadAll(in)
				theirs.Close()
				got <- string(rest)
			}()
			msg := file(text)
			if _, _, err := msg.Facts(); err != nil {
				t.Fatal(err)
			}
			msg.At = strings.NewReader(text[:2*blockSize])
			tx := deliverAs(t, mine, msg)
			if got := result(tx); got != "body message unreadable [250]" {
				t.Errorf("got %q", got)
			}
			mine.Close()
			if rest := <-got; strings.Contains(rest, "\r\n.\r\n") || strings.Contains(rest, "LAST") {
				t.Error("the content was ended")
			}
		})
	}
}

// deliverAs greets and sends msg, as it is.
func deliverAs(t *testing.T, conn net.Conn, msg *smtp.Message) smtp.Transaction {
	t.Helper()
	c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
	defer c.Quit()
	if err := c.Greet(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c.Send(context.Background(), rcpts("r@y.example"), msg)
}

func TestInterrupted(t *testing.T) {
	const part = `>+ "Subject: x\r\n"` + "\n"
	runDeliveries(t, []delivery{
		{name: "C65 552 and closed", msg: long(), script: upTo354 + part + "< 552 too large\n!close", want: "body 552 [250]"},
		{name: "C65 552 and 421 and closed", msg: long(), script: upTo354 + part + "< 552 too large\n< 421 bye\n!close", want: "body 552 [250]"},
		{name: "C65 421 and closed", msg: long(), script: upTo354 + part + "< 421 bye\n!close", want: "body 421 [250]"},
		{name: "C65 closed", msg: long(), script: upTo354 + part + "!close", want: "body dropped [250]"},
		{name: "C65 reset", msg: long(), script: upTo354 + part + "!reset", want: "body dropped [250]"},
		{name: "C65 half a reply", msg: long(), script: upTo354 + part + "<+ \"552 too\"\n!close", want: "body dropped [250]"},
		{name: "C64 250", msg: long(), script: upTo354 + part + "< 250 queued\n!stall", want: "body garbled 250 [250]"},
		{name: "C64 354", msg: long(), script: upTo354 + part + "< 354 go on\n!stall", want: "body garbled 354 [250]"},
		{name: "no SMTP", msg: long(), script: upTo354 + part + "< hello\n!stall", want: "body garbled [250]"},
		{name: "C67 550 and deaf", msg: long(), script: upTo354 + "!wait 1s\n< 550 no\n!stall", want: "body 550 [250]"},
		{name: "C66 deaf", msg: long(), script: upTo354 + "!stall", want: "body timed out [250]"},
		{name: "C66 deaf after a while", msg: long(), script: upTo354 + part + "!stall", want: "body timed out [250]"},
	})
}

// C67 once more: the refusal interrupts a write that would wait for a minute.
func TestRefusalInterruptsAtOnce(t *testing.T) {
	overBoth(t, 4096, func(t *testing.T, mine, theirs net.Conn) {
		defer background(t, theirs, upTo354+"!wait 1s\n< 550 no\n!stall")()
		start := time.Now()
		tx := deliverAs(t, mine, long())
		if got, took := result(tx), time.Since(start); got != "body 550 [250]" || took != time.Second {
			t.Errorf("got %q after %v", got, took)
		}
	})
}

// watched records how content was handed over.
type watched struct {
	net.Conn
	writes [][]byte
}

func (w *watched) Write(b []byte) (int, error) {
	w.writes = append(w.writes, bytes.Clone(b))
	return w.Conn.Write(b)
}

// C30: whatever the length, the final dot travels with the line end before it;
// and what fits in one write is one write.
func TestDotTravelsWithItsLineEnd(t *testing.T) {
	sizes := []int{0, 1, 2, 1000}
	for d := -4; d <= 2; d++ {
		sizes = append(sizes, blockSize+d, 2*blockSize+d, 3*blockSize+d)
	}
	for _, size := range sizes {
		for _, end := range []string{"\n", "\r\n"} {
			text := strings.Repeat("x", max(size-len(end), 0)) + end
			if size == 0 {
				text = ""
			}
			for _, msg := range []*smtp.Message{file(text), stream(text)} {
				synctest.Test(t, func(t *testing.T) {
					mine, theirs := smtptest.Pipe(1 << 20)
					want := strings.TrimSuffix(text, end)
					if text != "" {
						want += "\r\n"
					}
					defer background(t, theirs, upTo354+fmt.Sprintf(">+ %q\n< 250 ok", want+".\r\n"))()
					w := &watched{Conn: mine}
					if tx := deliverAs(t, w, msg); !tx.Accepted() {
						t.Errorf("size %d: %q", size, result(tx))
					}
					writes := w.writes[:len(w.writes)-1] // QUIT
					last := writes[len(writes)-1]
					if text != "" && !bytes.HasSuffix(last, []byte("\r\n.\r\n")) {
						t.Errorf("size %d: the last write is %q", size, last[max(0, len(last)-20):])
					}
					if size < blockSize && len(writes) != 3 {
						t.Errorf("size %d: %d writes, want EHLO, the group, content", size, len(writes))
					}
				})
			}
		}
	}
}

// TestC59ManyRecipients: the server answers each recipient before it reads the next,
// and no buffer holds a hundred of them.
func TestC59ManyRecipients(t *testing.T) {
	for _, n := range []int{400, 10000} {
		overBoth(t, 4096, func(t *testing.T, mine, theirs net.Conn) {
			env := smtp.Envelope{Sender: "s@x.example"}
			var script strings.Builder
			script.WriteString(pipelining + "> MAIL FROM:<s@x.example>\n< 250 ok\n")
			for i := range n {
				env.Rcpts = append(env.Rcpts, fmt.Sprintf("r%d@y.example", i))
				// Written one by one: "!wait 0s" ends what goes out together.
				fmt.Fprintf(&script, "> RCPT TO:<r%d@y.example>\n< 250 recipient %d is very welcome here\n!wait 0s\n", i, i)
			}
			script.WriteString("> DATA\n< 354 go" + smallWire + "< 250 queued")
			defer background(t, theirs, script.String())()
			c := New(mine, Params{Helo: "me.example", Timeout: time.Minute})
			if err := c.Greet(context.Background()); err != nil {
				t.Fatal(err)
			}
			tx := c.Send(context.Background(), env, file(small))
			c.Quit()
			if !tx.Accepted() || len(tx.Rcpts) != n {
				t.Errorf("%v, %d replies", brief(tx.Ending), len(tx.Rcpts))
			}
			for i, r := range tx.Rcpts {
				if want := fmt.Sprintf("250 recipient %d is very welcome here", i); r.String() != want {
					t.Fatalf("recipient %d: %q", i, r)
				}
			}
		})
	}
}

// Each method ends when its context does, wherever it waits.
func TestCancelled(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"greeting", "!stall", "greeting timed out"},
		{"EHLO", "< 220 mx\n!stall", "EHLO timed out"},
		{"group", pipelining + group + "< 250 ok\n!stall", "RCPT timed out"},
		{"writing", upTo354 + "!stall", "body timed out [250]"},
		{"leftovers", pipelining + group + "< 250 ok\n< 550 no\n!stall", "RCPT [550]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			overBoth(t, 4096, func(t *testing.T, mine, theirs net.Conn) {
				defer background(t, theirs, tt.script)()
				ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
				defer cancel()
				start := time.Now()
				c := New(mine, Params{Helo: "me.example", Timeout: time.Hour})
				defer c.Quit()
				got := failure(t, c.Greet(ctx))
				if got == "" {
					got = result(c.Send(ctx, rcpts("r@y.example"), long()))
				}
				if took := time.Since(start); got != tt.want || took != 3*time.Second {
					t.Errorf("got %q after %v, want %q", got, took, tt.want)
				}
				if got := failure(t, c.Hello(context.Background())); got != "EHLO dropped" {
					t.Errorf("and goes on: %q", got)
				}
			})
		})
	}
}
