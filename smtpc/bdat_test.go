package smtpc

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

const (
	chunking = `
		< 220 mx
		> EHLO me.example
		< 250-mx
		< 250-PIPELINING
		< 250 CHUNKING
		`
	// All of a small message is one flight.
	oneFlight = chunking + `
		> MAIL FROM:<s@x.example>
		> RCPT TO:<r@y.example>
		> BDAT 27 LAST
		>+ "Subject: x\r\n\r\nhello\r\n.dot\r\n"
		`
)

func TestOneFlight(t *testing.T) {
	runDeliveries(t, []delivery{
		{name: "accepted", script: oneFlight + "< 250 ok\n< 250 ok\n< 250 queued", want: "QUIT 250 [250]"},
		{name: "refused", script: oneFlight + "< 250 ok\n< 250 ok\n< 554 no", want: "dot 554 [250]"},
		{name: "for now", script: oneFlight + "< 250 ok\n< 250 ok\n< 451 no", want: "dot 451 [250]"},
		{name: "354", script: oneFlight + "< 250 ok\n< 250 ok\n< 354 go\n!close", want: "dot garbled 354 [250]"},
		{name: "no recipient", script: oneFlight + "< 250 ok\n< 550 no\n< 503 what", want: "RCPT [550]"},
		{name: "no recipient, and taken", script: oneFlight + "< 250 ok\n< 550 no\n< 250 thanks", want: "RCPT [550]"},
		{name: "no sender", script: oneFlight + "< 451 no\n< 503 what\n< 503 what", want: "MAIL 451"},
		{name: "C79 500", script: oneFlight + "< 250 ok\n< 250 ok\n< 500 what", want: "DATA BDAT not understood 500 [250]"},
		{name: "C79 502", script: oneFlight + "< 250 ok\n< 250 ok\n< 502 what", want: "DATA BDAT not understood 502 [250]"},
		{name: "C79 503", script: oneFlight + "< 250 ok\n< 250 ok\n< 503 what", want: "DATA BDAT not understood 503 [250]"},
		{name: "C79 a reply to each line", script: oneFlight + "< 250 ok\n< 250 ok\n< 500 a\n< 500 b\n< 500 c\n!close", want: "DATA BDAT not understood 500 [250]"},
		{name: "in doubt: no verdict", script: oneFlight + "< 250 ok\n< 250 ok\n!close", want: "dot dropped [250]"},
		{name: "in doubt: silence", script: oneFlight + "< 250 ok\n< 250 ok\n!stall", want: "dot timed out [250]"},
		{name: "in doubt: no reply to RCPT", script: oneFlight + "< 250 ok\n!close", want: "dot dropped"},
		{name: "in doubt: no reply at all", script: oneFlight + "!close", want: "dot dropped"},
		{name: "in doubt: no SMTP", script: oneFlight + "< 250 ok\n< what\n!close", want: "dot garbled"},
		{name: "in doubt: MAIL nonsense", script: oneFlight + "< 354 go\n!close", want: "dot garbled 354"},
		{name: "forbidden", params: Params{NoChunking: true}, script: chunking + group + accepted + smallWire + "< 250 queued", want: "QUIT 250 [250]"},
		{name: "not of a stream", msg: stream(small), script: chunking + group + accepted + smallWire + "< 250 queued", want: "QUIT 250 [250]"},
		{name: "empty", msg: file(""), want: "QUIT 250 [250]",
			script: chunking + "> MAIL FROM:<s@x.example>\n> RCPT TO:<r@y.example>\n> BDAT 0 LAST\n< 250 ok\n< 250 ok\n< 250 queued"},
		{name: "not without PIPELINING", want: "MAIL 550",
			script: strings.ReplaceAll(chunking, "< 250-PIPELINING", "") + "> MAIL FROM:<s@x.example>\n< 550 no"},
		{name: "C51 again", want: "QUIT 250 [250]", script: strings.ReplaceAll(oneFlight, "< 250 CHUNKING", "< 250-CHUNKING\n< 250 8BITMIME") +
			"< 250 ok\n< 250 ok\n< 250 queued"},
	})
}

// C51 with content on board: it goes along again, whole.
func TestOneFlightTwice(t *testing.T) {
	flight := strings.TrimPrefix(oneFlight, chunking)
	sized := strings.ReplaceAll(oneFlight, "< 250 CHUNKING", "< 250-CHUNKING\n< 250 SIZE")
	sized = strings.ReplaceAll(sized, "MAIL FROM:<s@x.example>", "MAIL FROM:<s@x.example> SIZE=27")
	runDeliveries(t, []delivery{{name: "C51", want: "QUIT 250 [250]",
		script: sized + "< 501 what\n< 503 what\n< 503 what" + flight + "< 250 ok\n< 250 ok\n< 250 queued"}})
}

// TestEcho: what may be a second reply to RCPT is not taken for the verdict on
// content that travelled with it, before QUIT has its 221.
func TestEcho(t *testing.T) {
	const twice = oneFlight + "< 250 sender ok\n< 250 ok\n< 250 ok\n> QUIT\n"
	const address = oneFlight + "< 250 2.1.0 ok\n< 250 2.1.5 <r@y.example> ok\n< 250 2.1.5 ok\n> QUIT\n"
	pair := rcpts("a@y.example", "b@y.example")
	two := strings.ReplaceAll(oneFlight, "> RCPT TO:<r@y.example>\n", "> RCPT TO:<a@y.example>\n> RCPT TO:<b@y.example>\n")
	runDeliveries(t, []delivery{
		{name: "accepted in these words", script: twice + "< 221 bye", want: "QUIT 250 [250]"},
		{name: "and leaving", script: twice + "< 421 bye\n!close", want: "QUIT 250 [250]"},
		{name: "and closed", script: twice + "!close", want: "QUIT 250 [250]"},
		{name: "and reset", script: twice + "!reset", want: "QUIT 250 [250]"},
		{name: "in an address's words", script: address + "< 221 bye", want: "QUIT 250 [250]"},
		{name: "RCPT twice, refused", script: twice + "!wait 50s\n< 554 no\n< 221 bye", want: "dot 554 [250]"},
		{name: "RCPT twice, refused in pieces", script: twice + "< 554 no\n!wait 1s\n< 221 bye", want: "dot 554 [250]"},
		{name: "RCPT twice, for now", script: twice + "< 451 no\n< 221 bye", want: "dot 451 [250]"},
		{name: "RCPT twice, taken", script: twice + "< 250 queued\n< 221 bye", want: "QUIT 250 [250]"},
		{name: "RCPT twice, 354", script: twice + "< 354 go\n< 221 bye", want: "dot garbled 354 [250]"},
		{name: "RCPT twice, C79", script: twice + "< 503 what\n< 221 bye", want: "DATA BDAT not understood 503 [250]"},
		{name: "MAIL twice", script: oneFlight + "< 250 2.1.0 ok\n< 250 2.1.0 ok\n< 250 2.1.5 ok\n> QUIT\n< 554 no\n< 221 bye", want: "dot 554 [250]"},
		{name: "the first of two twice", env: pair, script: two + "< 250 2.1.0 ok\n< 250 2.1.5 a\n< 250 2.1.5 a\n< 250 2.1.5 b\n> QUIT\n< 554 no\n< 221 bye", want: "dot 554 [250 250]"},
		{name: "in doubt: thrice", script: twice + "< 250 ok\n< 554 no\n!close", want: "dot garbled 250 [250]"},
		{name: "in doubt: no 221", script: twice + "< 554 no\n!stall", want: "dot garbled 554 [250]"},
		{name: "in doubt: closed instead of 221", script: twice + "< 554 no\n!close", want: "dot garbled 554 [250]"},
		{name: "in doubt: silence", script: twice + "!stall", want: "dot timed out [250]"},
		{name: "in chunks", msg: long(), script: inChunks(chunkCount, "250 chunk", "< 250 chunk\n> QUIT\n< 451 no\n< 221 bye"), want: "dot 451 [250]"},
	})
}

// TestEchoLate: an answer too many to one transaction is noticed in the next.
func TestEchoLate(t *testing.T) {
	flight := strings.TrimPrefix(oneFlight, chunking)
	script := oneFlight + "< 250 sender\n< 250 recipient\n< 250 done 1\n" + flight + "< 250 done 1\n< 250 sender\n< 250 recipient\n> QUIT\n< 554 no\n< 221 bye"
	against(t, script, func(t *testing.T, conn net.Conn) {
		c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
		defer c.Quit()
		if err := c.Greet(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"QUIT 250 [250]", "dot 554 [250]"} {
			if got := result(c.Send(context.Background(), rcpts("r@y.example"), file(small))); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if c.Reusable() {
			t.Error("may be used again")
		}
	})
}

// chunked is long, as it travels: so many chunks.
const (
	chunkCount = (12 + 20000*72 + blockSize - 1) / blockSize
)

// inChunks is the script of long's chunks from the first up to n, with a reply
// after each of them, and then says.
func inChunks(n int, reply, says string) string {
	var b strings.Builder
	b.WriteString(chunking + "> MAIL FROM:<s@x.example>\n> RCPT TO:<r@y.example>\n< 250 ok\n< 250 ok\n")
	text := "Subject: x\n\n" + strings.Repeat(strings.Repeat("x", 71)+"\n", 20000)
	for i := range n {
		block := text[i*blockSize : min((i+1)*blockSize, len(text))]
		wire := strings.ReplaceAll(block, "\n", "\r\n")
		last := ""
		if i == chunkCount-1 {
			last = " LAST"
		}
		fmt.Fprintf(&b, "> BDAT %d%s\n>+ %q\n", len(wire), last, wire)
		if reply != "" && i < n-1 {
			fmt.Fprintf(&b, "< %s\n", reply)
		}
	}
	return b.String() + says
}

func TestChunks(t *testing.T) {
	runDeliveries(t, []delivery{
		{name: "accepted", msg: long(), script: inChunks(chunkCount, "250 chunk", "< 250 queued"), want: "QUIT 250 [250]"},
		{name: "refused", msg: long(), script: inChunks(chunkCount, "250 chunk", "< 554 no"), want: "dot 554 [250]"},
		{name: "C79 no verdict", msg: long(), script: inChunks(chunkCount, "250 chunk", "!close"), want: "dot dropped [250]"},
		{name: "C79 no replies", msg: long(), script: inChunks(chunkCount, "", "!stall"), want: "dot timed out [250]"},
		{name: "C79 fewer replies", msg: long(), script: inChunks(chunkCount, "", "< 250 queued\n!stall"), want: "dot timed out [250]"},
		{name: "C79 552 on a chunk", msg: long(), script: inChunks(3, "250 chunk", "< 552 too large\n!stall"), want: "body 552 [250]"},
		{name: "C79 500 on a chunk", msg: long(), script: inChunks(1, "", "< 500 what\n!stall"), want: "DATA BDAT not understood 500 [250]"},
		{name: "closed", msg: long(), script: inChunks(3, "250 chunk", "!close"), want: "body dropped [250]"},
		{name: "deaf", msg: long(), script: inChunks(3, "250 chunk", "!stall"), want: "body timed out [250]"},
		{name: "354 to a chunk", msg: long(), script: inChunks(2, "250 chunk", "< 354 go\n!stall"), want: "body garbled 354 [250]"},
		{name: "no recipient, no content", msg: long(), want: "RCPT [550]",
			script: chunking + "> MAIL FROM:<s@x.example>\n> RCPT TO:<r@y.example>\n< 250 ok\n< 550 no"},
		{name: "too many replies", msg: long(), want: "body garbled [250]", script: strings.Replace(
			inChunks(1, "", ""), "> BDAT", "!wait 1s\n< 250 a\n< 250 b\n!wait 1s\n> BDAT", 1)},
	})
}

// On a conversation that has been idle content waits for the recipients'
// replies; content of no bytes is a chunk as well.
func TestEmptyChunk(t *testing.T) {
	script := chunking + "> MAIL FROM:<s@x.example>\n> RCPT TO:<r@y.example>\n< 250 ok\n< 250 ok\n> BDAT 0 LAST\n< 250 queued"
	against(t, script, func(t *testing.T, conn net.Conn) {
		c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
		if err := c.Greet(context.Background()); err != nil {
			t.Fatal(err)
		}
		c.sends = 1 // and nothing was said since the year 1
		tx := c.Send(context.Background(), rcpts("r@y.example"), file(""))
		c.Quit()
		if got := result(tx); got != "QUIT 250 [250]" {
			t.Errorf("got %q", got)
		}
	})
}

// A server that takes a while to close, and reads no more.
func TestChunkRefusalInterruptsAtOnce(t *testing.T) {
	overBoth(t, 4096, func(t *testing.T, mine, theirs net.Conn) {
		defer background(t, theirs, inChunks(1, "", "!wait 1s\n< 552 no\n!stall"))()
		start := time.Now()
		tx := deliverAs(t, mine, long())
		if got, took := result(tx), time.Since(start); got != "body 552 [250]" || took != time.Second {
			t.Errorf("got %q after %v", got, took)
		}
	})
}
