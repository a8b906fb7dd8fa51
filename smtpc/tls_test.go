package smtpc

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
)

// underTLS runs script behind a handshake on a pipe of size bytes, and client
// against it, in simulated time.
func underTLS(t *testing.T, size int, script string, client func(t *testing.T, conn net.Conn)) {
	t.Helper()
	cert := smtptest.Certificate("self:mx.example")
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := smtptest.Pipe(size)
		defer background(t, tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}}), script)()
		conn := tls.Client(mine, &tls.Config{InsecureSkipVerify: true})
		if err := conn.HandshakeContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		client(t, conn)
	})
}

// What holds in clear holds over a crypto/tls connection, whose writes may not
// be interrupted if it is to be used again, and whose Close writes.
func TestUnderTLS(t *testing.T) {
	for _, d := range []delivery{
		{name: "accepted", script: upToDot + "< 250 queued", want: "QUIT 250 [250]"},
		{name: "refused", script: upToDot + "< 554 no", want: "dot 554 [250]"},
		{name: "C74 closed", script: upToDot + "!close", want: "dot dropped [250]"},
		{name: "C74 silent", script: upToDot + "!stall", want: "dot timed out [250]"},
		{name: "C64 early", script: upTo354 + "< 250 queued", want: "DATA garbled 354 [250]"},
		{name: "C65 552 and closed", msg: long(), script: upTo354 + `>+ "Subject: x\r\n"` + "\n< 552 no\n!close", want: "body 552 [250]"},
		{name: "C67 552 and deaf", msg: long(), script: upTo354 + "!wait 1s\n< 552 no\n!stall", want: "body 552 [250]"},
		{name: "C66 deaf", msg: long(), script: upTo354 + "!stall", want: "body timed out [250]"},
		{name: "in chunks", msg: long(), script: inChunks(chunkCount, "250 chunk", "< 250 queued"), want: "QUIT 250 [250]"},
		{name: "C79 552 on a chunk", msg: long(), script: inChunks(3, "250 chunk", "< 552 no\n!stall"), want: "body 552 [250]"},
	} {
		t.Run(d.name, func(t *testing.T) {
			underTLS(t, 16<<10, d.script, func(t *testing.T, conn net.Conn) {
				if got := deliver(t, conn, d); got != d.want {
					t.Errorf("got %q, want %q", got, d.want)
				}
			})
		})
	}
}

// STARTTLS and the handshake, from the greeting to the verdict.
func TestStartTLS(t *testing.T) {
	cert := smtptest.Certificate("self:mx.example")
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := smtptest.Pipe(16 << 10)
		done := make(chan error, 1)
		go func() {
			if err := serveUntil(theirs, offersTLS+"> STARTTLS\n< 220 go"); err != nil {
				done <- err
				return
			}
			secure := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}})
			done <- serve(secure, "> EHLO me.example\n< 250-mx\n< 250 PIPELINING\n"+group+accepted+smallWire+"< 250 queued")
		}()
		c := New(mine, Params{Helo: "me.example", Timeout: time.Minute})
		defer c.Quit()
		ctx := context.Background()
		if err := c.Greet(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.RequestTLS(ctx); err != nil {
			t.Fatal(err)
		}
		conn := tls.Client(c.Release(), &tls.Config{InsecureSkipVerify: true})
		if err := conn.HandshakeContext(ctx); err != nil {
			t.Fatal(err)
		}
		sec := smtp.Security{Version: "TLSv1.3", Cipher: "X", Verified: "no"}
		if err := c.Secured(ctx, conn, sec); err != nil {
			t.Fatal(err)
		}
		tx := c.Send(ctx, rcpts("r@y.example"), file(small))
		if got := result(tx); got != "QUIT 250 [250]" || tx.TLS != sec {
			t.Errorf("got %q under %v", got, tx.TLS)
		}
		c.Quit()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
