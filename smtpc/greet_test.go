package smtpc

import (
	"context"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
)

func TestGreeting(t *testing.T) {
	const plain = `
		> EHLO me.example
		< 250 mx`
	for _, tt := range []struct{ name, script, want string }{
		{"one line", `< 220 mx` + plain, ""},
		{"C27 several lines", "< 220-mx\n< 220-a\n< 220 b" + plain, ""},
		{"C27 bare code", `< 220` + plain, ""},
		{"C27 LF ends a line", `<+ "220 mx\n"` + plain, ""},
		{"C27 without end", `<+ "220-x\r\n"*1000` + "\n!close", "greeting garbled"},
		{"C26 for now", `< 421 busy`, "greeting 421"},
		{"C26 for good", `< 554 no`, "greeting 554"},
		{"C26 RFC 7504", `< 521 no mail here`, "greeting 521"},
		{"not 220", `< 250 ok`, "greeting garbled 250"},
		{"intermediate", `< 354 go`, "greeting garbled 354"},
		{"C25 closed", `!close`, "greeting dropped"},
		{"C25 half", "<+ \"220 m\"\n!close", "greeting dropped"},
		{"C25 reset", `!reset`, "greeting dropped"},
		{"C24 silent", `!stall`, "greeting timed out"},
		{"C27 drips", "<+ \"2\"\n!wait 30s\n<+ \"20\"\n!stall", "greeting timed out"},
		{"C28 HTTP", "< HTTP/1.1 400 Bad Request\n!close", "greeting garbled"},
		{"C28 SSH", "< SSH-2.0-OpenSSH_9\n!close", "greeting garbled"},
		{"C28 TLS", "<+ \"\\x15\\x03\\x01\\x00\\x02\\x02\\x0a\\n\"\n!close", "greeting garbled"},
		{"C28 four digits", "< 2200 x\n!close", "greeting garbled"},
		{"C28 empty", "<+ \"\\r\\n\"\n!close", "greeting garbled"},
		{"C35 codes differ", "< 220-mx\n< 550 no\n!close", "greeting garbled"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
				defer c.Quit()
				start := time.Now()
				if got := failure(t, c.Greet(context.Background())); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if took := time.Since(start); took > time.Minute {
					t.Errorf("took %v", took)
				}
			})
		})
	}
}

// Bytes behind the greeting are seen with it, or before EHLO is said.
func TestGreetingOutOfStep(t *testing.T) {
	againstAtOnce(t, "< 220 mx\n< 250 mx", func(t *testing.T, conn net.Conn) {
		c := New(conn, Params{Helo: "me.example"})
		defer c.Quit()
		got := failure(t, c.Greet(context.Background()))
		if got != "greeting garbled 220" && got != "EHLO garbled 250" {
			t.Errorf("got %q", got)
		}
	})
}

func TestHello(t *testing.T) {
	for _, tt := range []struct {
		name, script, want string
		params             Params
		offers             smtp.Extensions
	}{
		{name: "EHLO", script: `
			> EHLO me.example
			< 250-mx
			< 250-size 1000
			< 250 PIPELINING`,
			offers: smtp.Extensions{ESMTP: true, Pipelining: true, HasSize: true, Size: 1000}},
		{name: "C31 500", script: "> EHLO me.example\n< 500 what\n> HELO me.example\n< 250 mx"},
		{name: "C31 504", script: "> EHLO me.example\n< 504 what\n> HELO me.example\n< 250 mx"},
		{name: "C31 550", script: "> EHLO me.example\n< 550 what\n> HELO me.example\n< 250 mx"},
		{name: "C31 drops", script: "> EHLO me.example\n< 500 what\n> HELO me.example\n!close", want: "HELO dropped"},
		{name: "C31 HELO refused", script: "> EHLO me.example\n< 500 what\n> HELO me.example\n< 501 who", want: "HELO 501"},
		{name: "C31 HELO nonsense", script: "> EHLO me.example\n< 500 what\n> HELO me.example\n< 354 go", want: "HELO garbled 354"},
		{name: "HELO only", script: "> HELO me.example\n< 250 mx", params: Params{HeloOnly: true}},
		{name: "C32 421", script: "> EHLO me.example\n< 421 bye", want: "EHLO 421"},
		{name: "450", script: "> EHLO me.example\n< 450 later", want: "EHLO 450"},
		{name: "354", script: "> EHLO me.example\n< 354 go", want: "EHLO garbled 354"},
		{name: "C32 closed", script: "> EHLO me.example\n!close", want: "EHLO dropped"},
		{name: "silent", script: "> EHLO me.example\n!stall", want: "EHLO timed out"},
		{name: "C33 5000 keywords", script: "> EHLO me.example\n" + `<+ "250-X-NOTHING\r\n"*5000` + "\n< 250 SMTPUTF8",
			offers: smtp.Extensions{ESMTP: true, SMTPUTF8: true}},
		{name: "C37 without end", script: "> EHLO me.example\n" + `<+ "250-X\r\n"*9000` + "\n!close", want: "EHLO garbled"},
		{name: "C45 STARTTLS under TLS", script: "> EHLO me.example\n< 250-mx\n< 250 STARTTLS",
			params: Params{TLS: smtp.Security{Version: "TLSv1.3"}}, offers: smtp.Extensions{ESMTP: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				p := tt.params
				p.Helo, p.Timeout = "me.example", time.Minute
				c := New(conn, p)
				defer c.Quit()
				if got := failure(t, c.Hello(context.Background())); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				got, want := c.Ext(), tt.offers
				if got.Pipelining != want.Pipelining || got.ESMTP != want.ESMTP || got.Size != want.Size ||
					got.SMTPUTF8 != want.SMTPUTF8 || got.StartTLS != want.StartTLS {
					t.Errorf("offers %+v, want %+v", got, want)
				}
			})
		})
	}
}

const offersTLS = `
	< 220 mx
	> EHLO me.example
	< 250-mx
	< 250-PIPELINING
	< 250 STARTTLS
`

func TestRequestTLS(t *testing.T) {
	for _, tt := range []struct{ name, script, want string }{
		{"taken", offersTLS + "> STARTTLS\n< 220 go", ""},
		{"not offered", "< 220 mx\n> EHLO me.example\n< 250 mx", "TLS no TLS"},
		{"C38 not now", offersTLS + "> STARTTLS\n< 454 not now", "TLS no TLS 454"},
		{"C38 never", offersTLS + "> STARTTLS\n< 502 what", "TLS no TLS 502"},
		{"not 220", offersTLS + "> STARTTLS\n< 250 ok", "TLS TLS failed 250"},
		{"closed", offersTLS + "> STARTTLS\n!close", "TLS dropped"},
		{"silent", offersTLS + "> STARTTLS\n!stall", "TLS timed out"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
				defer c.Quit()
				if err := c.Greet(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got := failure(t, c.RequestTLS(context.Background())); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if tt.want == "TLS no TLS 454" {
					if got := failure(t, c.RequestTLS(context.Background())); got != "TLS no TLS" {
						t.Errorf("a second STARTTLS: %q", got)
					}
				}
			})
		})
	}
}

// C39: what stands behind the 220 in clear ends the conversation.
func TestInjectedReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := smtptest.Pipe(4096)
		go serve(theirs, offersTLS+"> STARTTLS\n< 220 go\n< 250-mx")
		c := New(mine, Params{Helo: "me.example", Timeout: time.Minute})
		defer c.Quit()
		if err := c.Greet(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got := failure(t, c.RequestTLS(context.Background())); got != "TLS TLS failed 220" {
			t.Errorf("got %q", got)
		}
		if got := failure(t, c.Hello(context.Background())); got != "EHLO dropped" {
			t.Errorf("after it: %q", got)
		}
	})
}

// overTLS has a conversation ask for TLS, and talk go on over inner, where the
// server follows script. All of both is to be said.
func overTLS(t *testing.T, script string, talk func(t *testing.T, c *Conn, inner net.Conn)) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := smtptest.Pipe(4096)
		inner, theirInner := smtptest.Pipe(4096)
		defer background(t, theirs, offersTLS+"> STARTTLS\n< 220 go")()
		defer background(t, theirInner, script)()
		c := New(mine, Params{Helo: "me.example", Timeout: time.Minute})
		ctx := context.Background()
		if err := c.Greet(ctx); err != nil {
			t.Fatal(err)
		}
		if err := c.RequestTLS(ctx); err != nil {
			t.Fatal(err)
		}
		if conn := c.Release(); conn != net.Conn(mine) {
			t.Error("another connection released")
		}
		talk(t, c, inner)
		c.Quit()
		mine.Close()
	})
}

// C45: what was offered in clear is forgotten under TLS.
func TestSecured(t *testing.T) {
	const script = "> EHLO me.example\n< 250-mx\n< 250 STARTTLS\n" +
		"> MAIL FROM:<s@x.example>\n< 250 ok\n> RCPT TO:<r@y.example>\n< 550 no"
	overTLS(t, script, func(t *testing.T, c *Conn, inner net.Conn) {
		ctx := context.Background()
		if got := failure(t, c.Hello(ctx)); got != "EHLO dropped" {
			t.Errorf("released, and still talks: %q", got)
		}
		sec := smtp.Security{Version: "TLSv1.3", Cipher: "X", Verified: "no"}
		if err := c.Secured(ctx, inner, sec); err != nil {
			t.Fatal(err)
		}
		if x := c.Ext(); x.StartTLS || x.Pipelining {
			t.Errorf("offers %+v", x)
		}
		if got := failure(t, c.RequestTLS(ctx)); got != "TLS no TLS" {
			t.Errorf("STARTTLS under TLS: %q", got)
		}
		tx := c.Send(ctx, smtp.Envelope{Sender: "s@x.example", Rcpts: []string{"r@y.example"}}, file(small))
		if got := result(tx); got != "RCPT [550]" || tx.TLS != sec {
			t.Errorf("%q under %v", got, tx.TLS)
		}
	})
}

// C45: so it is with a server that does not know EHLO any more.
func TestSecuredHELO(t *testing.T) {
	overTLS(t, "> EHLO me.example\n< 502 what\n> HELO me.example\n< 250 mx", func(t *testing.T, c *Conn, inner net.Conn) {
		if err := c.Secured(context.Background(), inner, smtp.Security{Version: "TLSv1.3"}); err != nil {
			t.Fatal(err)
		}
		if x := c.Ext(); !reflect.DeepEqual(x, smtp.Extensions{}) {
			t.Errorf("offers %+v", x)
		}
	})
}

// A conversation that is over says so, at every door, and touches nothing.
func TestOver(t *testing.T) {
	mine, _ := smtptest.Pipe(4096)
	c := New(mine, Params{Helo: "me.example"})
	ctx := context.Background()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct {
		err  error
		want string
	}{
		{c.Greet(ctx), "greeting dropped"},
		{c.Hello(ctx), "EHLO dropped"},
		{c.RequestTLS(ctx), "TLS dropped"},
		{c.Auth(ctx, Credentials{}), "AUTH dropped"},
	} {
		if got := failure(t, tt.err); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	if got := result(c.Send(ctx, smtp.Envelope{Rcpts: []string{"r@y"}}, file(small))); got != "MAIL dropped" {
		t.Errorf("got %q", got)
	}
	c.Quit()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if c.Release(); c.Close() != nil {
		t.Error("a released connection was closed")
	}
}

// A listener that is left waiting ends with its connection: Close waits for it.
func TestCloseInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := smtptest.Pipe(4096)
		defer theirs.Close()
		c := New(mine, Params{Helo: "me.example"})
		c.listen(flight{replies: 1})
		synctest.Wait()
		c.Close()
		if h := <-c.ears; h.err == nil {
			t.Error("heard something")
		}
	})
}
