package remote_test

import (
	"fmt"
	"strings"
	"testing"

	"postrider/internal/smtptest"
)

// A reply point is one reply of the server's; a fault is what it does there
// instead of giving it. Every fault at every point, spoken to command by
// command, pipelined and in chunks, in clear and under TLS, with and without
// another exchanger: what must be reported follows from a few rules, below.

// manners are the ways to speak, as EHLO's last line offers them.
var manners = map[string]string{
	"plain":     "250 8BITMIME",
	"pipelined": "250 PIPELINING",
	"chunked":   "250-PIPELINING\n< 250 CHUNKING",
}

// points are the reply points in order, each with its good code.
var points = []struct{ name, code string }{
	{"greeting", "220"}, {"EHLO", "250"}, {"MAIL", "250"}, {"RCPT", "250"}, {"DATA", "354"}, {"dot", "250"},
}

// kind is what a fault comes to.
type kind int

const (
	harmless kind = iota // odd, and yet a reply
	breaks               // no reply; nobody can go on
	defers               // 4yz
	refuses              // 5yz
	misfits              // a reply of the wrong class
	doubles              // the reply, and another one behind it
)

// faults lists what can go wrong; CODE is the point's good code, BAD one of the
// wrong class.
var faults = []struct {
	name   string
	kind   kind
	script string
}{
	{"code alone", harmless, "< CODE"},
	{"several lines", harmless, "< CODE-one\n< CODE-two\n< CODE three"},
	{"bare LF", harmless, `<+ "CODE ok\n"`},
	{"NUL", harmless, `<+ "CODE o\x00k\x1b\xff\r\n"`},
	{"slow", harmless, "!drip 100ms\n< CODE ok\n!drip 0s"},
	{"close", breaks, "!close"},
	{"reset", breaks, "!reset"},
	{"half close", breaks, "!halfclose"},
	{"stall", breaks, "!stall"},
	{"half a code", breaks, "<+ \"25\"\n!close"},
	{"no line end", breaks, "<+ \"CODE ok\"\n!close"},
	{"half a reply", breaks, "<+ \"CODE-ok\\r\\n\"\n!close"},
	{"half a reply and silence", breaks, "<+ \"CODE-ok\\r\\n\"\n!stall"},
	{"too slow", breaks, "!drip 1s\n< CODE ok\n!sink"},
	{"letters", breaks, "< hello\n!sink"},
	{"blank line", breaks, "< \n!sink"},
	{"short code", breaks, "< 25\n!sink"},
	{"long code", breaks, "< 2500 ok\n!sink"},
	{"no separator", breaks, "< CODE_ok\n!sink"},
	{"1yz", breaks, "< 150 ok\n!sink"},
	{"6yz", breaks, "< 650 ok\n!sink"},
	{"two codes", breaks, "< CODE-ok\n< 550 no\n!sink"},
	{"two codes, the other way", breaks, "< 550-no\n< CODE ok\n!sink"},
	{"endless line", breaks, "<+ \"CODE \" \"x\"*300000\n!sink"},
	{"endless reply", breaks, "<+ \"CODE-x\\r\\n\"*60000\n!sink"},
	{"4yz", defers, "< 451 later"},
	{"5yz", refuses, "< 554 no"},
	{"wrong class", misfits, "< BAD what"},
	{"one too many", doubles, `<+ "CODE ok\r\n250 ok\r\n"`},
}

// verdict is what must be reported, as letters, "!" for "Possible duplicate". It
// is the specification of this file: nothing in it was copied from the engine.
func verdict(manner, point string, k kind) string {
	flown := manner == "chunked" // the content has left us with the envelope
	switch {
	case k == harmless:
		return "rK"
	case point == "greeting":
		return "Z" // nothing in a greeting bounces mail
	case point == "EHLO" && k == refuses:
		return "rK" // HELO
	case point == "EHLO":
		return "Z"
	}
	switch k {
	case breaks:
		return map[string]string{"MAIL": "Z", "RCPT": "Z", "DATA": "rZ", "dot": "rZ!"}[point] +
			map[bool]string{true: "!"}[flown && point != "dot"]
	case defers:
		return map[string]string{"MAIL": "Z", "RCPT": "sD", "DATA": "rZ", "dot": "rZ"}[point]
	case refuses:
		return map[string]string{"MAIL": "D", "RCPT": "hD", "DATA": "rD", "dot": "rD"}[point]
	case misfits:
		return map[string]string{"MAIL": "Z", "RCPT": "sD", "DATA": "rZ", "dot": "rZ!"}[point] +
			map[bool]string{true: "!"}[flown && point == "MAIL"]
	case doubles:
		// Command by command, the surplus is seen before anything more is said.
		// In a group all replies shift by one, and the last does not fit: DATA is
		// answered by RCPT's 250, or BDAT's own reply is one too many.
		switch {
		case manner == "plain" && point == "DATA":
			return "rZ"
		case manner == "plain":
			return "Z"
		case flown:
			return "rZ!"
		}
		return "rZ"
	}
	panic("no rule")
}

// quietly are the combinations that do not exist, or of which nothing is said.
func quietly(manner, point string, k kind) bool {
	return manner == "chunked" && point == "DATA" || // BDAT has one reply
		k == doubles && point == "dot" // see the dialogues: it depends on what comes behind
}

// scriptFor is the server that fails at one point.
func scriptFor(manner, point, fault string, k kind) string {
	var b strings.Builder
	for _, p := range points {
		if manner == "chunked" && p.name == "DATA" {
			continue
		}
		if p.name == "dot" && k == doubles && manner == "pipelined" {
			return b.String() + "!sink\n" // nobody sends content after this
		}
		b.WriteString(command(manner, p.name))
		if p.name == point {
			bad := "250"
			if p.code != "354" {
				bad = "354"
			}
			b.WriteString(strings.NewReplacer("CODE ok", p.code+" "+p.name, "CODE", p.code, "BAD", bad).Replace(fault) + "\n")
			if !goesOn(manner, p.name, k) {
				return b.String() + tail(manner, p.name, k)
			}
			if p.name == "EHLO" {
				manner = "plain" // an odd reply that offers nothing
			}
			continue
		}
		if p.name == "EHLO" {
			b.WriteString("< 250-mx\n< " + manners[manner] + "\n")
			continue
		}
		b.WriteString("< " + p.code + " " + p.name + "\n") // each its own words: see smtpc, TestEcho
	}
	return b.String()
}

// command is what the client says before a point's reply.
func command(manner, point string) string {
	group := manner != "plain"
	switch point {
	case "EHLO":
		return "> EHLO mail.example\n"
	case "MAIL":
		if !group {
			return "> MAIL FROM:<me@example.com>\n"
		}
		last := "> DATA\n"
		if manner == "chunked" {
			last = ">bdat\n"
		}
		return "> MAIL FROM:<me@example.com>\n> RCPT TO:<you@example.net>\n" + last
	case "RCPT":
		if !group {
			return "> RCPT TO:<you@example.net>\n"
		}
	case "DATA":
		if !group {
			return "> DATA\n"
		}
	case "dot":
		if manner != "chunked" {
			return ">data\n"
		}
	}
	return ""
}

// goesOn says whether the script goes on after a fault as if nothing had been.
func goesOn(manner, point string, k kind) bool {
	return k == harmless || k == doubles && manner != "plain" && point != "greeting" && point != "EHLO" && point != "DATA"
}

// tail is what a server does after a fault that was a reply.
func tail(manner, point string, k kind) string {
	switch {
	case k == breaks:
		return ""
	case k == doubles:
		return "!sink\n"
	case point == "EHLO" && k == refuses:
		return "> HELO mail.example\n< 250 mx\n> MAIL FROM:<me@example.com>\n< 250 ok\n> RCPT TO:<you@example.net>\n< 250 ok\n" +
			"> DATA\n< 354 ok\n>data\n< 250 ok\n"
	case k == misfits && point != "RCPT":
		return "!sink\n"
	case manner != "plain" && point == "MAIL":
		return "< 503 no sender\n< 503 no sender\n"
	case manner != "plain" && point == "RCPT":
		return "< 503 no recipient\n"
	}
	return ""
}

const faultHeader = `-- control/me --
mail.example
-- control/timeoutremote --
2
-- argv --
example.net me@example.com you@example.net
-- report --
`

const taker = `-- 192.0.2.8:25 --
!optional
< 220 mx
> EHLO mail.example
< 250-mx
< 250 PIPELINING
> MAIL FROM:<me@example.com>
> RCPT TO:<you@example.net>
> DATA
< 250 ok
< 250 ok
< 354 ok
>data
< 250 ok
`

// TestFaults runs the whole table.
func TestFaults(t *testing.T) {
	for manner := range manners {
		for _, p := range points {
			for _, f := range faults {
				if quietly(manner, p.name, f.kind) {
					continue
				}
				t.Run(manner+"/"+p.name+"/"+f.name, func(t *testing.T) {
					t.Parallel()
					script := scriptFor(manner, p.name, f.script, f.kind)
					want := verdict(manner, p.name, f.kind)
					faulty(t, "alone", script, "", f.kind, want)
					if p.name == "greeting" || p.name == "EHLO" {
						want = "rK" // by the other exchanger, or after HELO
					}
					faulty(t, "two exchangers", script, taker, f.kind, want)
				})
			}
		}
	}
}

// faulty runs one server in clear and under TLS, its bytes whole and one by one.
func faulty(t *testing.T, name, script, other string, k kind, want string) {
	d, err := smtptest.ParseDialogue([]byte(faultHeader + zoneFor(other) + "-- 192.0.2.7:25 --\n" + script + other))
	if err != nil {
		t.Fatal(err)
	}
	for _, arrival := range []smtptest.Arrival{smtptest.Whole, smtptest.Bytes} {
		if arrival != smtptest.Whole && (k == doubles || strings.Contains(script, `"*`)) {
			continue // what comes later than it can be seen is another fault; what is endless takes too long
		}
		for mode, d := range map[string]*smtptest.Dialogue{"clear": d, "tls": d.WithTLS()} {
			if d == nil {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s/%v", name, mode, arrival), func(t *testing.T) {
				got, wrong := converse(t, d, arrival)
				for _, w := range wrong {
					t.Error(w)
				}
				wellFormed(t, got, 1)
				if l := letters(got); l != want {
					t.Errorf("%s, not %s: %s", l, want, smtptest.Escape(got))
				}
				if t.Failed() {
					t.Logf("the script is\n%s", script)
				}
			})
		}
	}
}

func zoneFor(other string) string {
	zone := "-- dns --\nexample.net. MX 10 mx1.example.net.\nmx1.example.net. A 192.0.2.7\n"
	if strings.Contains(other, "192.0.2.8") {
		zone += "example.net. MX 20 mx2.example.net.\nmx2.example.net. A 192.0.2.8\n"
	}
	return zone
}

// letters is a report in short: "rZ!" is an accepted recipient, and a deferral
// that may be a duplicate.
func letters(report []byte) string {
	var b strings.Builder
	for r := range strings.SplitSeq(strings.TrimSuffix(string(report), "\x00"), "\x00") {
		b.WriteByte(r[0])
		if strings.Contains(r, "Possible duplicate!") {
			b.WriteByte('!')
		}
	}
	return b.String()
}

// TestFaultsBeforeTLS breaks STARTTLS and the handshake in every way. Where TLS
// is opportunistic the message goes in clear, on a fresh connection or on the
// same one; where it is required it never does (RFC 3207 §4, RFC 7435 §3).
func TestFaultsBeforeTLS(t *testing.T) {
	for _, f := range []struct{ name, script string }{
		{"454", "< 454 not now"},
		{"554", "< 554 no"},
		{"close", "!close"},
		{"reset", "!reset"},
		{"half close", "!halfclose"},
		{"stall", "!stall"},
		{"letters", "< hello\n!sink"},
		{"blank line", "< \n!sink"},
		{"250", "< 250 what\n!sink"},
		{"354", "< 354 what\n!sink"},
		{"two codes", "< 220-go\n< 454 no\n!sink"},
		{"endless line", "<+ \"220 \" \"x\"*300000\n!sink"},
		{"endless reply", "<+ \"220-x\\r\\n\"*60000\n!sink"},
		{"injection", "<+ \"220 go\\r\\n250 injected\\r\\n\"\n!sink"},
		{"injection of half a line", "<+ \"220 go\\r\\n2\"\n!sink"},
		{"go and close", "< 220 go\n!close"},
		{"go and reset", "< 220 go\n!reset"},
		{"go and silence", "< 220 go\n!sink"},
		{"go and letters", "< 220 go\n<+ \"hello\\r\\n\"\n!sink"},
		{"go and alert", "< 220 go\n<+ \"\\x15\\x03\\x03\\x00\\x02\\x02\\x28\"\n!sink"},
		{"go and zeroes", "< 220 go\n<+ \"\\x00\"*10000\n!sink"},
		{"go and old TLS", "< 220 go\n!tls mx1.example.net max=1.1 fails"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			offer := "< 220 mx\n> EHLO mail.example\n< 250-mx\n< 250 STARTTLS\n> STARTTLS\n" + f.script + "\n"
			clear := strings.TrimPrefix(taker, "-- 192.0.2.8:25 --\n!optional\n")
			opportunistic := offer + "== next connection ==\n" + clear
			if f.name == "454" || f.name == "554" { // it stays, and so do we
				opportunistic = offer + "> MAIL FROM:<me@example.com>\n< 250 ok\n> RCPT TO:<you@example.net>\n< 250 ok\n" +
					"> DATA\n< 354 ok\n>data\n< 250 ok\n"
			}
			anchors := "-- control/trustanchors --\n{home}/control/ca.pem\n-- control/ca.pem --\n{authority}\n"
			faulty(t, "opportunistic", opportunistic, anchors, harmless, "rK")
			strict := anchors + "-- control/tlsstrictness --\n2\n"
			faulty(t, "required", offer, strict, harmless, "Z")
		})
	}
}
