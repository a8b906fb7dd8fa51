package smtpd

import (
	"slices"
	"strings"
	"testing"

	"postrider/internal/queuetest"
)

// Rows of the catalogue of what clients do wrong that are about the order of
// commands and their arguments. Every session ends in QUIT and is heard to it.
func TestFaults(t *testing.T) {
	const (
		ok, no, bad = "250 ok\r\n", "502 unimplemented (#5.5.1)\r\n", "555 syntax error (#5.5.4)\r\n"
		mail, rcpt  = "503 MAIL first (#5.5.1)\r\n", "503 RCPT first (#5.5.1)\r\n"
		relay       = "553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)\r\n"
		looping     = "554 too many hops, this message is looping (#5.4.6)\r\n"
		barred      = "553 sorry, your envelope sender is in my badmailfrom list (#5.7.1)\r\n"
		me          = "250 me.example\r\n"
		envelope    = "MAIL FROM:<a@b>\r\nRCPT TO:<c@here.com>\r\n"
	)
	loops := strings.Repeat("Received: x\r\n", 100) + ".\r\n"
	for _, c := range []struct {
		row, in, want string
		queued        []string // sender and recipients of the one message
	}{
		// What is not announced is not there, and content behind it is no message.
		{"S2", envelope + "BDAT 0 LAST\r\nBDAT 5\r\nBDAT -1\r\nBDAT 1000000000000000000 LAST\r\nBDAT 0x10\r\nDATA\r\n.\r\n",
			ok + ok + strings.Repeat(no, 5) + "354 go ahead\r\n" + taken, []string{"a@b", "c@here.com"}},
		{"S2, many", envelope + strings.Repeat("BDAT 0\r\n", 10_000), ok + ok + strings.Repeat(no, 10_000), nil},
		{"S3", envelope + "DATA\r\n" + loops + "DATA\r\nRCPT TO:<d@here.com>\r\nDATA\r\nMAIL FROM:<e@f>\r\nDATA\r\nRCPT TO:<g@here.com>\r\nDATA\r\n.\r\n",
			ok + ok + "354 go ahead\r\n" + looping + mail + mail + mail + ok + rcpt + ok + "354 go ahead\r\n" + taken, []string{"e@f", "g@here.com"}},
		{"S3, a policy is forgotten too", "MAIL FROM:<x@bad.com>\r\nRCPT TO:<c@here.com>\r\nRSET\r\n" + envelope + "DATA\r\n.\r\n",
			ok + barred + "250 flushed\r\n" + ok + ok + "354 go ahead\r\n" + taken, []string{"a@b", "c@here.com"}},
		{"S7", "AUTH PLAIN AGEAYg==\r\nMAIL FROM:<a@b> AUTH=<>\r\nAUTH LOGIN\r\nRCPT TO:<c@d>\r\n", no + ok + no + relay, nil},
		{"S13", "MAIL FROM:<a@b>\r\nEHLO x\r\nRCPT TO:<c@here.com>\r\n", ok + "250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + mail, nil},
		{"S17", "RCPT TO:<c@here.com>\r\nDATA\r\nMAIL FROM:<a@b>\r\nMAIL FROM:<e@f>\r\nDATA\r\nVRFY x\r\nEXPN x\r\nNOOP x\r\nRCPT TO:<c@here.com>\r\nHELO x\r\nDATA\r\n",
			mail + mail + ok + ok + rcpt + "252 send some mail, i'll try my best\r\n" + no + ok + ok + me + mail, nil},
		{"S18", "MAIL FROM:<>\r\nRCPT TO:<postmaster>\r\nRCPT TO:<@x,@y:c@here.com>\r\nRCPT TO:<\"d >@e\"@here.com>\r\nRCPT TO:<\\\"@here.com>\r\nRCPT TO:g@here.com x\r\nDATA\r\n.\r\n",
			ok + ok + ok + ok + ok + ok + "354 go ahead\r\n" + taken, []string{"", "postmaster", "c@here.com", "d >@e@here.com", "\"@here.com", "g@here.com"}},
		{"S18, refused", "MAIL FROM:<a@b>\r\nRCPT TO:<@here.com:c@d>\r\nRCPT TO:<\"c@here.com>\r\nRCPT TO:<c@here.com@d>\r\nRCPT TO:<c@[IPv6:2001:db8::1]>\r\nRCPT TO:<c@here.com\x00@d>\r\nRCPT TO:<c\r@here.com>\r\nRCPT TO:<" +
			strings.Repeat("x", 10_000) + "@here.com>\r\nRCPT TO:<c@here.com.>\r\nRCPT TO:<c@xhere.com>\r\n", ok + relay + relay + relay + relay + bad + bad + bad + relay + relay, nil},
		// "%" and "!" are bytes of a local part: who may relay by them is for qmail-send to say.
		{"S18, no route of ours", "MAIL FROM:<a@b>\r\nRCPT TO:<c%d@here.com>\r\nRCPT TO:<d!c@here.com>\r\nRCPT TO:<c%here.com@d>\r\nDATA\r\n.\r\n",
			ok + ok + ok + relay + "354 go ahead\r\n" + taken, []string{"a@b", "c%d@here.com", "d!c@here.com"}},
		{"S20", "MAIL FROM:<X@BAD.COM>\r\nRCPT TO:<c@here.com>\r\nMAIL FROM:<x@sub.bad.com>\r\nRCPT TO:<c@here.com>\r\nMAIL FROM:<Spam@x>\r\nRCPT TO:<c@here.com>\r\nDATA\r\n",
			ok + barred + ok + ok + ok + barred + rcpt, nil},
		{"S33", "ETRN x\r\nTURN\r\nXCLIENT ADDR=127.0.0.1\r\nXFORWARD ADDR=127.0.0.1\r\nPROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n", strings.Repeat(no, 5) + ok + relay, nil},
		{"S34", "EHLO x\r\nMAIL FROM:<a@b> SMTPUTF8\r\nMAIL FROM:<a@b> BODY=BINARYMIME\r\nMAIL FROM:<a@b> RET=FULL\r\nMAIL FROM:<a@b> ENVID=a+00\r\nRCPT TO:<c@here.com>\r\nMAIL FROM:<a@b> BODY=8BITMIME\r\nRCPT TO:<c@here.com> ORCPT=rfc822;c@here.com\r\nDATA\r\n",
			"250-me.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n" + strings.Repeat(bad, 4) + mail + ok + bad + rcpt, nil},
	} {
		home := controls(t, map[string]string{"rcpthosts": "here.com\n", "badmailfrom": "spam@x\n@bad.com\n"})
		said, err := talk(t, home, c.in+"QUIT\r\n")
		if mask(said) != c.want+bye || err != nil {
			t.Errorf("%s: %.2000q, %v, want %.2000q", c.row, said, err, c.want+bye)
		}
		list := home.Messages(t)
		list = slices.DeleteFunc(list, func(m queuetest.Message) bool { return !m.Taken })
		switch {
		case len(list) != min(len(c.queued), 1):
			t.Errorf("%s: %d messages queued", c.row, len(list))
		case len(list) == 1 && list[0].Envelope != queuetest.Envelope(c.queued[0], c.queued[1:]...):
			t.Errorf("%s: %q queued", c.row, list[0].Envelope)
		}
	}
}
