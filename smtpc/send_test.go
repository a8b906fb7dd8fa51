package smtpc

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/smtp"
	"postrider/internal/smtptest"
)

// Parts that scripts are made of.
const (
	heloOnly = `
		< 220 mx
		> EHLO me.example
		< 500 what
		> HELO me.example
		< 250 mx
		`
	basic = `
		< 220 mx
		> EHLO me.example
		< 250 mx
		`
	pipelining = `
		< 220 mx
		> EHLO me.example
		< 250-mx
		< 250 PIPELINING
		`
	group = `
		> MAIL FROM:<s@x.example>
		> RCPT TO:<r@y.example>
		> DATA
		`
	accepted = `
		< 250 ok
		< 250 ok
		< 354 go
		`
	smallWire = `
		>+ "Subject: x\r\n\r\nhello\r\n..dot\r\n.\r\n"
		`
	upToDot = pipelining + group + accepted + smallWire
)

func rcpts(s ...string) smtp.Envelope { return smtp.Envelope{Sender: "s@x.example", Rcpts: s} }

func TestStepByStep(t *testing.T) {
	const two = basic + `
		> MAIL FROM:<s@x.example>
		< 250 ok
		> RCPT TO:<a@y.example>
		< 250 ok
		> RCPT TO:<b@y.example>
		`
	pair := rcpts("a@y.example", "b@y.example")
	runDeliveries(t, []delivery{
		{name: "accepted", env: pair, want: "QUIT 250 [250 550]",
			script: two + "< 550 no\n> DATA\n< 354 go" + smallWire + "< 250 queued"},
		{name: "after HELO", want: "QUIT 250 [250]", script: heloOnly +
			"> MAIL FROM:<s@x.example>\n< 250 ok\n> RCPT TO:<r@y.example>\n< 250 ok\n> DATA\n< 354 go" + smallWire + "< 250 queued"},
		{name: "C50 MAIL for now", script: basic + "> MAIL FROM:<s@x.example>\n< 451 later", want: "MAIL 451"},
		{name: "C50 MAIL for good", script: basic + "> MAIL FROM:<s@x.example>\n< 550 no", want: "MAIL 550"},
		{name: "MAIL nonsense", script: basic + "> MAIL FROM:<s@x.example>\n< 354 go", want: "MAIL garbled 354"},
		{name: "C52 MAIL closed", script: basic + "> MAIL FROM:<s@x.example>\n!close", want: "MAIL dropped"},
		{name: "C52 MAIL 421", script: basic + "> MAIL FROM:<s@x.example>\n< 421 bye\n!close", want: "MAIL 421"},
		{name: "nobody", env: pair, script: strings.ReplaceAll(two, "< 250 ok\n\t\t> RCPT TO:<b", "< 550 no\n\t\t> RCPT TO:<b") + "< 450 later", want: "RCPT [550 450]"},
		{name: "RCPT closed", env: pair, script: two + "!close", want: "RCPT dropped [250]"},
		{name: "DATA refused", env: pair, script: two + "< 251 ok\n> DATA\n< 451 later", want: "DATA 451 [250 251]"},
	})
}

func TestPipelined(t *testing.T) {
	five := rcpts("a@y.example", "b@y.example", "c@y.example", "d@y.example", "e@y.example")
	groupOfFive := pipelining + `
		> MAIL FROM:<s@x.example>
		> RCPT TO:<a@y.example>
		> RCPT TO:<b@y.example>
		> RCPT TO:<c@y.example>
		> RCPT TO:<d@y.example>
		> RCPT TO:<e@y.example>
		> DATA
		< 250 sender ok
		`
	runDeliveries(t, []delivery{
		{name: "accepted", script: upToDot + "< 250 queued", want: "QUIT 250 [250]"},
		{name: "C53 mixed", env: five, want: "QUIT 250 [250 550 450 251 252]",
			script: groupOfFive + "< 250 a\n< 550 b\n< 450 c\n< 251 d\n< 252 e\n< 354 go" + smallWire + "< 250 queued"},
		{name: "C54 none, 5yz", env: five, want: "RCPT [550 550 550 550 550]",
			script: groupOfFive + "< 550 a\n< 550 b\n< 550 c\n< 550 d\n< 550 e\n< 503 no"},
		{name: "C54 none, mixed", env: five, want: "RCPT [450 550 450 550 450]",
			script: groupOfFive + "< 450 a\n< 550 b\n< 450 c\n< 550 d\n< 450 e\n< 554 no"},
		{name: "C55 too many", env: five, want: "QUIT 250 [250 250 452 452 552]",
			script: groupOfFive + "< 250 a\n< 250 b\n< 452 c\n< 452 d\n< 552 e\n< 354 go" + smallWire + "< 250 queued"},
		{name: "C56 odd", env: five, want: "QUIT 250 [354 220 250 299 399]",
			script: groupOfFive + "< 354 a\n< 220 b\n< 250 c\n< 299 d\n< 399 e\n< 354 go" + smallWire + "< 250 queued"},
		{name: "C56 no code", env: five, want: "RCPT garbled [250]",
			script: groupOfFive + "< 250 a\n< what\n!close"},
		{name: "C57 closed", env: five, want: "RCPT dropped [250 550]",
			script: groupOfFive + "< 250 a\n< 550 b\n!close"},
		{name: "C58 eaten", env: five, want: "RCPT timed out [250]",
			script: groupOfFive + "< 250 a\n!stall"},
		{name: "C61 none, but 354", env: five, want: "RCPT [550 550 550 550 550]",
			script: groupOfFive + "< 550 a\n< 550 b\n< 550 c\n< 550 d\n< 550 e\n< 354 go\n" + `>+ ".\r\n"` + "\n< 554 nobody"},
		{name: "C61 the dot is not answered", want: "RCPT [550]",
			script: pipelining + group + "< 250 ok\n< 550 a\n< 354 go\n" + `>+ ".\r\n"` + "\n!stall"},
		{name: "C61 DATA is not answered", script: pipelining + group + "< 250 ok\n< 550 a\n!stall", want: "RCPT [550]"},
		{name: "C61 closed", script: pipelining + group + "< 250 ok\n< 550 a\n!close", want: "RCPT [550]"},
		{name: "C60 MAIL refused, the rest not", want: "MAIL 550",
			script: pipelining + group + "< 550 no\n< 250 ok\n< 354 go\n" + `>+ ".\r\n"` + "\n< 250 queued"},
		{name: "C60 MAIL refused", script: pipelining + group + "< 450 no\n< 503 what\n< 503 what", want: "MAIL 450"},
		{name: "MAIL refused and closed", script: pipelining + group + "< 550 no\n!close", want: "MAIL 550"},
		{name: "C62 DATA for now", script: pipelining + group + "< 250 ok\n< 250 ok\n< 451 no", want: "DATA 451 [250]"},
		{name: "C62 DATA for good", script: pipelining + group + "< 250 ok\n< 250 ok\n< 554 no", want: "DATA 554 [250]"},
		{name: "C63 DATA 250", script: pipelining + group + "< 250 ok\n< 250 ok\n< 250 ok\n!close", want: "DATA garbled 250 [250]"},
		{name: "C63 DATA closed", script: pipelining + group + "< 250 ok\n< 250 ok\n!close", want: "DATA dropped [250]"},
		{name: "C72 bounce", env: smtp.Envelope{Rcpts: []string{"a b@y.example"}}, want: "QUIT 250 [250]",
			script: pipelining + "> MAIL FROM:<>\n" + `> RCPT TO:<"a b"@y.example>` + "\n> DATA" + accepted + smallWire + "< 250 queued"},
		{name: "nobody to send to", env: rcpts([]string{}...), script: pipelining, want: "RCPT"},
	})
}

// Where a reply too many is noticed depends on how it arrives; that nothing of
// the message is sent, and nothing accepted, does not.
func TestOutOfStep(t *testing.T) {
	for _, tt := range []struct{ name, script string }{
		{"C63 extra 250 before 354", pipelining + group + "< 250 ok\n< 250 ok\n< 250 ok\n< 354 go\n!close"},
		{"C63 354 twice", pipelining + group + accepted + "< 354 go\n!close"},
		{"C64 250 behind 354", pipelining + group + accepted + "< 250 queued\n!close"},
		{"C64 part of a reply", pipelining + group + accepted + `<+ "25"` + "\n!close"},
		{"C47 before MAIL", pipelining + "< 250 ok\n!close"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
				defer c.Quit()
				if err := c.Greet(context.Background()); err != nil {
					if got := failure(t, err); got != "EHLO garbled 250" {
						t.Errorf("got %q", got)
					}
					return
				}
				tx := c.Send(context.Background(), rcpts("r@y.example"), file(small))
				if tx.Fault != smtp.Garbled && tx.Fault != smtp.Dropped || tx.Stage >= smtp.AtDot {
					t.Errorf("got %q", result(tx))
				}
			})
		})
	}
}

// A server may hang up politely between commands (RFC 5321 §3.8).
func TestEarly421(t *testing.T) {
	overBoth(t, 4096, func(t *testing.T, mine, theirs net.Conn) {
		go serve(theirs, pipelining+"!wait 1s\n< 421 too slow\n!close")
		c := New(mine, Params{Helo: "me.example", Timeout: time.Minute})
		defer c.Quit()
		if err := c.Greet(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if got := result(c.Send(context.Background(), rcpts("r@y.example"), file(small))); got != "MAIL 421" {
			t.Errorf("got %q", got)
		}
	})
}

// An answer too many that comes behind the first words of another transaction
// moves all the others; the 354 tells.
func TestStrayOnUsed(t *testing.T) {
	against(t, upToDot+"< 250 queued\n"+group+"< 250 stray\n< 250 ok\n< 250 ok\n!wait 1s\n< 354 go\n!close", func(t *testing.T, conn net.Conn) {
		c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
		defer c.Quit()
		if err := c.Greet(context.Background()); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"QUIT 250 [250]", "DATA garbled 250 [250]"} {
			if got := result(c.Send(context.Background(), rcpts("r@y.example"), file(small))); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestParameters(t *testing.T) {
	offers := func(s string) string {
		return "< 220 mx\n> EHLO me.example\n< 250-mx\n< 250-" + strings.ReplaceAll(s, " | ", "\n< 250-") + "\n< 250 X\n"
	}
	mail := func(s string) string { return "> MAIL FROM:<s@x.example>" + s + "\n< 550 no" }
	const eight = "Subject: x\n\nh\xe9\n"
	runDeliveries(t, []delivery{
		{name: "SIZE counts CRLF", script: offers("SIZE 1000") + mail(" SIZE=27"), want: "MAIL 550"},
		{name: "SIZE without limit", script: offers("SIZE 0") + mail(" SIZE=27"), want: "MAIL 550"},
		{name: "SIZE unlimited", script: offers("SIZE") + mail(" SIZE=27"), want: "MAIL 550"},
		{name: "SIZE just right", script: offers("SIZE 27") + mail(" SIZE=27"), want: "MAIL 550"},
		{name: "C34 too large", script: offers("SIZE 26"), want: "MAIL too large"},
		{name: "SIZE of a stream", msg: stream(small), script: offers("SIZE 26") + mail(""), want: "MAIL 550"},
		{name: "7-bit", script: offers("8BITMIME") + mail(""), want: "MAIL 550"},
		{name: "8-bit", msg: file(eight), script: offers("8BITMIME") + mail(" BODY=8BITMIME"), want: "MAIL 550"},
		{name: "C71 8-bit not offered", msg: file(eight), script: offers("SIZE") + mail(" SIZE=18"), want: "MAIL 550"},
		{name: "a stream may be 8-bit", msg: stream(small), script: offers("8BITMIME") + mail(" BODY=8BITMIME"), want: "MAIL 550"},
		{name: "SMTPUTF8 not needed", script: offers("SMTPUTF8 | 8BITMIME") + mail(""), want: "MAIL 550"},
		{name: "SMTPUTF8 for the header", msg: file("X: \xc3\xa9\n\n"), want: "MAIL 550",
			script: offers("SMTPUTF8 | 8BITMIME") + mail(" BODY=8BITMIME SMTPUTF8")},
		{name: "header without SMTPUTF8", msg: file("X: \xc3\xa9\n\n"), script: offers("8BITMIME") + mail(" BODY=8BITMIME"), want: "MAIL 550"},
		{name: "SMTPUTF8 for an address", env: rcpts("r@é.example"), want: "MAIL 550",
			script: offers("SMTPUTF8") + mail(" SMTPUTF8")},
		{name: "C71 address without SMTPUTF8", env: rcpts("r@é.example"), script: offers("SIZE"), want: "MAIL needs SMTPUTF8"},
		{name: "address in A-labels", want: "RCPT [550]",
			env: smtp.Envelope{Sender: "s@x.example", Rcpts: []string{"r@é.example"},
				ASCII: &smtp.Envelope{Sender: "s@x.example", Rcpts: []string{"r@xn--9ca.example"}}},
			script: offers("8BITMIME") + "> MAIL FROM:<s@x.example>\n< 250 ok\n> RCPT TO:<r@xn--9ca.example>\n< 550 no"},
	})
}

// C51: MAIL again, without the parameters that the server did not understand.
func TestParametersRefused(t *testing.T) {
	const sized = "< 220 mx\n> EHLO me.example\n< 250-mx\n< 250 SIZE\n> MAIL FROM:<s@x.example> SIZE=27\n"
	const grouped = "< 220 mx\n> EHLO me.example\n< 250-mx\n< 250-PIPELINING\n< 250 SIZE\n" +
		"> MAIL FROM:<s@x.example> SIZE=27\n> RCPT TO:<r@y.example>\n> DATA\n"
	runDeliveries(t, []delivery{
		{name: "501", script: sized + "< 501 what\n> MAIL FROM:<s@x.example>\n< 250 ok\n> RCPT TO:<r@y.example>\n< 550 no", want: "RCPT [550]"},
		{name: "555", script: sized + "< 555 what\n> MAIL FROM:<s@x.example>\n< 550 no", want: "MAIL 550"},
		{name: "555 again", script: sized + "< 555 what\n> MAIL FROM:<s@x.example>\n< 555 no", want: "MAIL 555"},
		{name: "another refusal", script: sized + "< 553 no", want: "MAIL 553"},
		{name: "nothing to leave out", script: basic + "> MAIL FROM:<s@x.example>\n< 501 no", want: "MAIL 501"},
		{name: "closed", script: sized + "< 501 what\n!close", want: "MAIL parameters refused 501"},
		{name: "closed, nothing to leave out", script: pipelining + group + "< 501 what\n!close", want: "MAIL 501"},
		{name: "plain from the first on", params: Params{Plain: true}, want: "MAIL 501",
			script: strings.ReplaceAll(sized, " SIZE=27", "") + "< 501 what"},
		{name: "deaf", script: sized + "< 501 what\n> MAIL FROM:<s@x.example>\n!stall", want: "MAIL timed out"},
		{name: "group closed", script: grouped + "< 501 what\n!close", want: "MAIL parameters refused 501"},
		{name: "group closed later", script: grouped + "< 555 what\n< 503 no\n< 503 no\n!close", want: "MAIL parameters refused 555"},
		{name: "group and another refusal", script: grouped + "< 553 no\n!close", want: "MAIL 553"},
		{name: "group", script: grouped + "< 501 what\n< 503 no\n< 503 no" + group + accepted + smallWire + "< 250 queued", want: "QUIT 250 [250]"},
		{name: "group half taken", want: "QUIT 250 [250]", script: grouped + "< 501 what\n< 250 ok\n< 354 go\n" + `>+ ".\r\n"` +
			"\n< 554 no\n> RSET\n< 250 ok" + group + accepted + smallWire + "< 250 queued"},
		{name: "group and no RSET", want: "MAIL parameters refused 501", script: grouped + "< 501 what\n< 250 ok\n< 503 no\n> RSET\n< 502 what"},
		{name: "SMTPUTF8 stays", env: rcpts("r@é.example"), want: "MAIL 555",
			script: "< 220 mx\n> EHLO me.example\n< 250-mx\n< 250 SMTPUTF8\n> MAIL FROM:<s@x.example> SMTPUTF8\n< 555 what"},
	})
}

// After the dot only one whole and well-formed 2yz is an acceptance.
func TestVerdicts(t *testing.T) {
	var table []delivery
	add := func(name, says, want string) {
		table = append(table, delivery{name: name, script: upToDot + says, want: want + " [250]"})
	}
	add("C73 in pieces", "<+ \"2\"\n!wait 9s\n<+ \"50-a\\r\\n25\"\n!wait 9s\n<+ \"0 b\\r\"\n!wait 9s\n<+ \"\\n\"", "QUIT 250")
	add("C74 no line end", "<+ \"250 ok\"\n!close", "dot dropped")
	add("C74 no line end, open", "<+ \"250 ok\"\n!stall", "dot timed out")
	add("C74 CR alone", "<+ \"250 ok\\r\"\n!close", "dot dropped")
	add("C74 half a code", "<+ \"25\"\n!close", "dot dropped")
	add("C74 half a reply", "<+ \"250-ok\\r\\n\"\n!close", "dot dropped")
	add("C74 closed", "!close", "dot dropped")
	add("C74 reset", "!reset", "dot dropped")
	add("C74 silent", "!stall", "dot timed out")
	add("C75 421", "< 421 no", "dot 421")
	add("C75 451", "< 451 no", "dot 451")
	add("C75 552", "< 552 no", "dot 552")
	add("C75 554", "< 554-no\n< 554 no", "dot 554")
	add("C76 150", "< 150 hm\n!close", "dot garbled")
	add("C76 999", "< 999 hm\n!close", "dot garbled")
	add("C76 letters", "< abc\n!close", "dot garbled")
	add("C76 blank line", "<+ \"\\r\\n250 ok\\r\\n\"\n!close", "dot garbled")
	add("C76 four digits", "< 2500 ok\n!close", "dot garbled")
	add("C35 250 and 550", "< 250-ok\n< 550 no\n!close", "dot garbled")
	add("C35 550 and 250", "< 550-ok\n< 250 no\n!close", "dot garbled")
	add("C77 and closed", "< 250 ok\n!close", "QUIT 250")
	add("C78 9 kB", "<+ \"250-\\x00\\nK\\r\\n\"\n!close", "dot garbled")
	add("C78 long", `<+ "250-xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"*100`+"\n< 250 ok", "QUIT 250")
	add("C37 too long", `<+ "250-xxxxxxxxxxxxxxxxxxxxxxxxxxxxx\r\n"*200`+"\n!close", "dot garbled")
	for code := 200; code < 600; code++ {
		want := "dot"
		switch code / 100 {
		case 2:
			want = "QUIT"
		case 3:
			want = "dot garbled"
		}
		n := string(rune('0'+code/100)) + string(rune('0'+code/10%10)) + string(rune('0'+code%10))
		add("code "+n, "<+ \""+n+" x\\r\\n\"", want+" "+n)
	}
	runDeliveries(t, table)
}

// A verdict with more behind it could belong to anything.
func TestVerdictAndMore(t *testing.T) {
	for _, says := range []string{"< 250 ok\n< 552 no", "< 552 no\n< 250 ok"} {
		synctest.Test(t, func(t *testing.T) {
			mine, theirs := smtptest.Pipe(4096)
			go serve(theirs, upToDot+says)
			if got := deliver(t, mine, delivery{}); !strings.HasPrefix(got, "dot garbled") {
				t.Errorf("%q: got %q", says, got)
			}
		})
	}
}

// Two messages on one connection, the first one refused in each way that leaves
// the conversation in step.
func TestOneAfterAnother(t *testing.T) {
	for _, first := range []string{
		upToDot + "< 250 queued",
		upToDot + "< 554 no",
		pipelining + group + "< 550 no\n< 503 no\n< 503 no",
		pipelining + group + "< 250 ok\n< 550 no\n< 354 go\n" + `>+ ".\r\n"` + "\n< 554 no",
		// What the server may still hold must be forgotten first.
		pipelining + group + "< 250 ok\n< 250 no\n< 451 no\n> RSET\n< 250 ok",
		pipelining + group + "< 250 ok\n< 550 no\n< 503 no\n> RSET\n< 250 ok",
	} {
		against(t, first+group+accepted+smallWire+"< 250 queued", func(t *testing.T, conn net.Conn) {
			c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
			defer c.Quit()
			if err := c.Greet(context.Background()); err != nil {
				t.Fatal(err)
			}
			c.Send(context.Background(), rcpts("r@y.example"), file(small))
			if !c.Reusable() || c.Transactions() != 1 {
				t.Errorf("%s\nthen reusable %v after %d", first, c.Reusable(), c.Transactions())
			}
			if got := result(c.Send(context.Background(), rcpts("r@y.example"), file(small))); got != "QUIT 250 [250]" {
				t.Errorf("%s\nthen got %q", first, got)
			}
		})
	}
}
