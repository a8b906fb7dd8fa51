package smtpc

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtp"
)

// held is a message in memory.
func held(t *testing.T, content string) *smtp.Message {
	t.Helper()
	name := filepath.Join(t.TempDir(), "mess")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := smtp.ReadMessage(f, new(smtp.Rooms))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := m.Whole(); !ok {
		t.Fatal("not to be read")
	}
	return m
}

// one is a first message, after which another may be followed by a third.
const one = upToDot + "< 250 queued\n"

// chain sends a message, then one and what follows it, and gives both results;
// the second is "" when nothing followed.
func chain(t *testing.T, conn net.Conn, messages [3]string) (second, third string) {
	t.Helper()
	ctx := context.Background()
	c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
	defer c.Quit()
	if err := c.Greet(ctx); err != nil {
		t.Fatal(err)
	}
	if first := c.Send(ctx, rcpts("r@y.example"), held(t, messages[0])); first.Fault != smtp.NoFault {
		t.Errorf("the first: %s", result(first))
	}
	asked := 0
	tx, begun := c.SendThen(ctx, rcpts("r@y.example"), held(t, messages[1]), func() (Following, bool) {
		asked++
		return Following{rcpts("r@y.example"), held(t, messages[2])}, true
	})
	if asked > 1 {
		t.Errorf("asked %d times", asked)
	}
	if second = result(*tx); begun == nil {
		return second, ""
	}
	last, none := begun.Finish(ctx, nil)
	if none != nil {
		t.Error("a third has begun")
	}
	if c.Transactions() != 3 && last.Fault == smtp.NoFault {
		t.Errorf("%d transactions", c.Transactions())
	}
	return second, result(*last)
}

// TestFollow: content and the next commands in one flight, and whatever becomes
// of the one and of the other.
func TestFollow(t *testing.T) {
	const overlap = one + group + accepted + smallWire + group
	for _, c := range []struct{ reason, script, second, third string }{
		{"both accepted", "< 250 queued\n" + accepted + smallWire + "< 250 queued", "QUIT 250 [250]", "QUIT 250 [250]"},
		{"content refused for good (C88)", "< 554 no\n" + accepted + smallWire + "< 250 queued", "dot 554 [250]", "QUIT 250 [250]"},
		{"content refused for now (C88)", "< 451 no\n" + accepted + smallWire + "< 250 queued", "dot 451 [250]", "QUIT 250 [250]"},
		{"both refused", "< 451 no\n" + accepted + smallWire + "< 554 no", "dot 451 [250]", "dot 554 [250]"},
		{"verdict late", "!wait 50s\n< 250 queued\n!wait 15s\n" + accepted + smallWire + "< 250 queued", "QUIT 250 [250]", "QUIT 250 [250]"},
		{"next sender refused", "< 250 queued\n< 550 no\n< 503 no\n< 503 no", "QUIT 250 [250]", "MAIL 550"},
		{"next recipient refused", "< 250 queued\n< 250 ok\n< 550 no\n< 503 no", "QUIT 250 [250]", "RCPT [550]"},
		{"next recipient refused, content wanted", "< 250 queued\n< 250 ok\n< 550 no\n< 354 go\n" + `>+ ".\r\n"` + "\n< 554 no", "QUIT 250 [250]", "RCPT [550]"},
		{"next DATA refused", "< 250 queued\n< 250 ok\n< 250 ok\n< 451 no", "QUIT 250 [250]", "DATA 451 [250]"},
		{"leaves behind the verdict", "< 250 queued\n!close", "QUIT 250 [250]", "MAIL dropped"},
		{"resets behind the verdict", "< 250 queued\n!wait 1s\n!reset", "QUIT 250 [250]", "MAIL dropped"},
		{"says so", "< 250 queued\n< 421 bye\n!close", "QUIT 250 [250]", "MAIL 421"},
		{"threw away what followed", "< 250 queued\n!stall", "QUIT 250 [250]", "MAIL timed out"},
		{"is slow at the second reply", "< 250 queued\n!wait 15s\n< 250 ok\n!wait 50s\n< 250 ok\n< 354 go\n" + smallWire + "< 250 queued", "QUIT 250 [250]", "QUIT 250 [250]"},
		{"leaves later", "< 250 queued\n< 250 ok\n!close", "QUIT 250 [250]", "RCPT dropped"},
		{"leaves instead of the verdict", "!close", "dot dropped [250]", "MAIL dropped"},
		{"says so instead of the verdict", "< 421 bye\n!close", "dot 421 [250]", "MAIL dropped"},
		{"half a verdict", "<+ \"250 queu\"\n!close", "dot dropped [250]", "MAIL dropped"},
		{"no verdict", "!stall", "dot timed out [250]", "MAIL dropped"},
		{"nonsense for a verdict", "< what?\n!close", "dot garbled [250]", "MAIL dropped"},
		{"a verdict of the wrong class", "< 354 go\n!close", "dot garbled 354 [250]", "MAIL dropped"},
		{"a reply too many (C63)", "< 250 queued\n< 250 again\n" + accepted + "!close", "QUIT 250 [250]", "DATA garbled 250 [250]"},
		{"leaves in place of the last verdict", "< 250 queued\n" + accepted + smallWire + "!close", "QUIT 250 [250]", "dot dropped [250]"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			against(t, overlap+c.script, func(t *testing.T, conn net.Conn) {
				if second, third := chain(t, conn, [3]string{small, small, small}); second != c.second || third != c.third {
					t.Errorf("got %q and %q, want %q and %q", second, third, c.second, c.third)
				}
			})
		})
	}
}

// C64: an acceptance that comes before content in memory has been sent is none,
// in one piece with the 354 or behind it.
func TestEarlyAcceptanceOfHeld(t *testing.T) {
	againstAtOnce(t, pipelining+group+accepted+"< 250 queued\n!stall", func(t *testing.T, conn net.Conn) {
		ctx := context.Background()
		c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
		defer c.Quit()
		if err := c.Greet(ctx); err != nil {
			t.Fatal(err)
		}
		tx := c.Send(ctx, rcpts("r@y.example"), held(t, small))
		if tx.Fault != smtp.Garbled || tx.Stage == smtp.AtDot || tx.Stage == smtp.AtQuit {
			t.Errorf("got %q", result(tx))
		}
	})
}

// TestNothingFollows: where a transaction is brought to its end before the next
// may begin.
func TestNothingFollows(t *testing.T) {
	const done = "QUIT 250 [250]"
	long := strings.Repeat("line\n", smallFlight/5)
	longWire := `>+ "` + strings.Repeat(`line\r\n`, smallFlight/5) + `.\r\n"` + "\n"
	another := group + accepted + smallWire + "< 250 queued\n"
	for _, c := range []struct {
		reason, script string
		messages       [3]string
		second         string
	}{
		{"long content", one + group + accepted + longWire + "< 250 queued", [3]string{small, long, small}, done},
		{"the last verdict took long", upToDot + "!wait 3s\n< 250 queued\n" + another, [3]string{small, small, small}, done},
		{"the next is no whole message", one + another, [3]string{small, small, "no line end"}, done},
		{"one step at a time", basic + strings.Repeat("> MAIL FROM:<s@x.example>\n< 250 ok\n> RCPT TO:<r@y.example>\n< 250 ok\n> DATA\n< 354 go\n"+smallWire+"< 250 queued\n", 2),
			[3]string{small, small, small}, done},
		{"refused before content", one + group + "< 250 ok\n< 250 ok\n< 451 no", [3]string{small, small, small}, "DATA 451 [250]"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			against(t, c.script, func(t *testing.T, conn net.Conn) {
				if second, third := chain(t, conn, c.messages); second != c.second || third != "" {
					t.Errorf("got %q and %q, want %q alone", second, third, c.second)
				}
			})
		})
	}
}
