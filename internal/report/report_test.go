package report

import (
	"bytes"
	"strings"
	"testing"
	"testing/quick"

	"postrider/internal/smtp"
)

func reply(code int, lines ...string) smtp.Reply { return smtp.Reply{Code: code, Lines: lines} }

// TestStockTexts holds the sentences that bounce parsers know (qmail-remote(8)).
func TestStockTexts(t *testing.T) {
	const h = "192.0.2.1"
	no, later := reply(550, "550 no"), reply(451, "451 later")
	for _, c := range []struct {
		o    Outcome
		want string
	}{
		{Outcome{Cause: Accepted, Rcpts: []smtp.Reply{reply(250, "250 ok")}, Reply: reply(250, "250 queued as ABC")},
			"r\x00K192.0.2.1 accepted message.\nRemote host said: 250 queued as ABC\n\x00"},
		{Outcome{Cause: GaveUp, Rcpts: []smtp.Reply{no}, Reply: no},
			"h192.0.2.1 does not like recipient.\nRemote host said: 550 no\n\x00DGiving up on 192.0.2.1.\n\x00"},
		{Outcome{Cause: GaveUp, Rcpts: []smtp.Reply{later}, Reply: later},
			"s192.0.2.1 does not like recipient.\nRemote host said: 451 later\n\x00DGiving up on 192.0.2.1.\n\x00"},
		{Outcome{Cause: GreetingFailed, Reply: reply(554, "554 go away")},
			"ZConnected to 192.0.2.1 but greeting failed.\nRemote host said: 554 go away\n\x00"},
		{Outcome{Cause: NameRejected, Reply: reply(501, "501 who")},
			"ZConnected to 192.0.2.1 but my name was rejected.\nRemote host said: 501 who\n\x00"},
		{Outcome{Cause: SenderRefused, Reply: no}, "DConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 550 no\n\x00"},
		{Outcome{Cause: SenderRefused, Reply: later}, "ZConnected to 192.0.2.1 but sender was rejected.\nRemote host said: 451 later\n\x00"},
		{Outcome{Cause: DataRefused, Reply: no}, "D192.0.2.1 failed on DATA command.\nRemote host said: 550 no\n\x00"},
		{Outcome{Cause: DataRefused, Reply: later}, "Z192.0.2.1 failed on DATA command.\nRemote host said: 451 later\n\x00"},
		{Outcome{Cause: ContentRefused, Reply: no}, "D192.0.2.1 failed after I sent the message.\nRemote host said: 550 no\n\x00"},
		{Outcome{Cause: ContentRefused, Reply: later}, "Z192.0.2.1 failed after I sent the message.\nRemote host said: 451 later\n\x00"},
		{Outcome{Cause: ConnectionDied}, "ZConnected to 192.0.2.1 but connection died. (#4.4.2)\n\x00"},
		{Outcome{Cause: ConnectionDied, InDoubt: true}, "ZConnected to 192.0.2.1 but connection died. Possible duplicate! (#4.4.2)\n\x00"},
		{Outcome{Cause: NoConnection}, "ZSorry, I wasn't able to establish an SMTP connection. (#4.4.1)\n\x00"},
		{Outcome{Cause: NoSuchHostYet}, "ZSorry, I couldn't find any host by that name. (#4.1.2)\n\x00"},
		{Outcome{Cause: NoSuchHost}, "DSorry, I couldn't find any host named 192.0.2.1. (#5.1.2)\n\x00"},
		{Outcome{Cause: NoExchanger}, "DSorry, I couldn't find a mail exchanger or IP address. (#5.4.4)\n\x00"},
		{Outcome{Cause: Ambiguous}, "DSorry. Although I'm listed as a best-preference MX or A for that host,\n" +
			"it isn't in my control/locals file, so I don't treat it as local. (#5.4.6)\n\x00"},
		{Outcome{Cause: PartialLine}, "DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\x00"},
		{Outcome{Cause: UnreadableMessage}, "ZUnable to read message. (#4.3.0)\n\x00"},
		{Outcome{Cause: UnreadableControl}, "ZUnable to read control files. (#4.3.0)\n\x00"},
		{Outcome{Cause: NoHome}, "ZUnable to switch to home directory. (#4.3.0)\n\x00"},
		{Outcome{Cause: OutOfMemory}, "ZOut of memory. (#4.3.0)\n\x00"},
		{Outcome{Cause: NoResources}, "ZSystem resources temporarily unavailable. (#4.3.0)\n\x00"},
		{Outcome{Cause: Usage}, "DI (qmail-remote) was invoked improperly. (#5.3.5)\n\x00"},
		{Outcome{Cause: Crashed}, "Zqmail-remote crashed. (#4.3.0)\n\x00"},
		{Outcome{Cause: Accepted, Reply: reply(250, "250 ok"), TLS: smtp.Security{Version: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Verified: "dane"}},
			"K192.0.2.1 accepted message.\nRemote host said: 250 ok\nTLS: TLSv1.3 TLS_AES_128_GCM_SHA256 verified=dane\n\x00"},
	} {
		c.o.Host = h
		if got := string(c.o.AppendTo(nil)); got != c.want {
			t.Errorf("cause %d:\n got %q\nwant %q", c.o.Cause, got, c.want)
		}
	}
}

// TestCodes: causes that stock does not have carry these enhanced codes and letters.
func TestCodes(t *testing.T) {
	for cause, want := range map[Cause]string{
		NullMX: "D5.1.10", TLSRequired: "Z4.7.5", DANEFailed: "Z4.7.5", STSFailed: "Z4.7.5", UTF8Unavailable: "D5.6.7",
		TooLarge: "D5.3.4", AuthRefused: "Z4.7.8", AuthImpossible: "Z4.7.0", RequireTLSFailed: "D5.7.30", BadAddress: "D5.1.3",
		NoSource: "Z4.3.5",
	} {
		got := string((&Outcome{Cause: cause, Host: "192.0.2.1"}).AppendTo(nil))
		if got[0] != want[0] || !strings.HasSuffix(got, " (#"+want[1:]+")\n\x00") {
			t.Errorf("cause %d: %q, want %s", cause, got, want)
		}
	}
}

// TestRcptLetters: only a whole 5xx refuses for good, and 552 behind an accepted
// recipient means too many of them.
func TestRcptLetters(t *testing.T) {
	for _, c := range []struct {
		codes []int
		want  string
	}{
		{[]int{250, 550, 450, 251, 252}, "rhsrr"},
		{[]int{250, 552, 452}, "rss"},
		{[]int{552, 250, 552}, "hrs"},
		{[]int{354, 220, 0}, "srs"},
	} {
		o := Outcome{Cause: GaveUp}
		for _, code := range c.codes {
			o.Rcpts = append(o.Rcpts, smtp.Reply{Code: code})
		}
		var got string
		for i := range o.Rcpts {
			got += string(o.RcptLetter(i))
		}
		if got != c.want {
			t.Errorf("%v: %s, want %s", c.codes, got, c.want)
		}
	}
}

// TestForeignBytes: nothing a server says can end a record, begin one, or pass
// for a line of ours.
func TestForeignBytes(t *testing.T) {
	o := Outcome{Cause: Accepted, Host: "192.0.2.1", Reply: reply(250, "250-a\x00K\x1b[1m", "250 \xc3\xa9\t\nDfake\r")}
	want := "K192.0.2.1 accepted message.\nRemote host said: 250-a?K?[1m\n250 ?????Dfake?\n\x00"
	want = strings.Replace(want, "250 ?????", "250 ????", 1)
	if got := string(o.AppendTo(nil)); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	o = Outcome{Cause: NoSuchHost, Host: "a\nb\x00"}
	if got := string(o.AppendTo(nil)); got != "DSorry, I couldn't find any host named a?b?. (#5.1.2)\n\x00" {
		t.Errorf("host: %q", got)
	}
}

// TestBounds: whatever was said, and to however many, the report stays under
// 10000 bytes, ends in \n\0, has one record per recipient, and one K, Z or D.
func TestBounds(t *testing.T) {
	holds := func(lines [][]byte, rcpts uint16, code uint16) bool {
		var r smtp.Reply
		r.Code = 200 + int(code)%400
		for _, l := range lines {
			r.Lines = append(r.Lines, strings.Repeat(string(l), 100))
		}
		o := Outcome{Cause: GaveUp, Host: "2001:db8::1", Reply: r}
		for range rcpts % 4500 {
			o.Rcpts = append(o.Rcpts, r)
		}
		for _, cause := range []Cause{GaveUp, ContentRefused, Accepted} {
			o.Cause = cause
			b := o.AppendTo(nil)
			if len(b) >= maxReport || !bytes.HasSuffix(b, []byte("\n\x00")) || bytes.Count(b, []byte{0}) != len(o.Rcpts)+1 {
				return false
			}
		}
		return true
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 30}); err != nil {
		t.Error(err)
	}
}

// TestOf: what a conversation's end is called, by stage and fault.
func TestOf(t *testing.T) {
	for _, c := range []struct {
		stage smtp.Stage
		fault smtp.Fault
		code  int
		want  Cause
	}{
		{smtp.AtGreeting, smtp.NoFault, 554, GreetingFailed},
		{smtp.AtEHLO, smtp.NoFault, 421, NameRejected},
		{smtp.AtHELO, smtp.NoFault, 550, NameRejected},
		{smtp.AtGreeting, smtp.Dropped, 0, ConnectionDied},
		{smtp.AtGreeting, smtp.Garbled, 0, NotSMTP},
		{smtp.AtTLS, smtp.NoTLS, 454, TLSRequired},
		{smtp.AtTLS, smtp.TLSFailed, 0, TLSRequired},
		{smtp.AtTLS, smtp.TLSLocal, 0, TLSLocal},
		{smtp.AtAuth, smtp.NoFault, 535, AuthRefused},
		{smtp.AtAuth, smtp.WouldReveal, 0, AuthImpossible},
		{smtp.AtMail, smtp.NoFault, 550, SenderRefused},
		{smtp.AtMail, smtp.TooLarge, 0, TooLarge},
		{smtp.AtMail, smtp.NeedsUTF8, 0, UTF8Unavailable},
		{smtp.AtMail, smtp.PartialLine, 0, PartialLine},
		{smtp.AtMail, smtp.TimedOut, 0, ConnectionDied},
		{smtp.AtRcpt, smtp.NoFault, 550, GaveUp},
		{smtp.AtData, smtp.NoFault, 451, DataRefused},
		{smtp.AtBody, smtp.NoFault, 552, ContentRefused},
		{smtp.AtBody, smtp.Unreadable, 0, UnreadableMessage},
		{smtp.AtDot, smtp.NoFault, 554, ContentRefused},
		{smtp.AtDot, smtp.Garbled, 354, NotSMTP},
		{smtp.AtQuit, smtp.NoFault, 250, Accepted},
	} {
		tx := smtp.Transaction{Ending: smtp.Ending{Stage: c.stage, Fault: c.fault, Reply: smtp.Reply{Code: c.code}}}
		o := Of(tx, "192.0.2.1")
		if o.Cause != c.want {
			t.Errorf("%v %v %d: cause %d, want %d", c.stage, c.fault, c.code, o.Cause, c.want)
		}
		if l := o.Letter(); c.fault == smtp.Garbled && l != 'Z' {
			t.Errorf("%v garbled: %c", c.stage, l)
		}
		if doubt := c.stage == smtp.AtDot && c.fault != smtp.NoFault; o.InDoubt != doubt {
			t.Errorf("%v %v: in doubt %v", c.stage, c.fault, o.InDoubt)
		}
	}
}
