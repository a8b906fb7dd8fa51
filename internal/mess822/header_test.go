package mess822

import (
	"strings"
	"testing"
	"time"
)

// newRewriter is a Rewriter that has made no Message-ID yet.
func newRewriter() *Rewriter {
	return &Rewriter{
		Rules:  DefaultRules("me.example", "me.example", "me.example"),
		IDHost: "me.example",
		PID:    2811,
	}
}

// rewrite is Append for a header that is not too large.
func rewrite(w *Rewriter, header string, o Origin) string {
	b, ok := w.Append(nil, header, o)
	if !ok {
		return "too many addresses"
	}
	return string(b)
}

var origin = Origin{
	Sender: "joe@me.example",
	Time:   time.Date(2026, 11, 20, 11, 39, 39, 0, time.UTC),
}

const (
	dated = "Date: 20 Nov 2026 11:39:39 -0000\n"
	named = "Message-ID: <20261120113939.1.2811.qmail@me.example>\n"
	joe   = "From: joe@me.example\n"
	hush  = "Cc: recipient list not shown: ;\n"
)

func TestAppend(t *testing.T) {
	for _, c := range []struct{ why, in, want string }{
		{"nothing", "", dated + named + joe + hush},
		{
			"a common message",
			"Subject: hi\nTo: Joe <joe@here>\nReceived: foo\nBcc: secret\nX: y\n",
			"Received: foo\n" + dated + named + joe + "To: \"Joe\" <joe@here.me.example>\nSubject: hi\nX: y\n",
		},
		{
			"the order of all",
			"X: 1\nNotice-Requested-Upon-Delivery-To: a\nCc: b\nTo: c\nMail-Followup-To: d\nMail-Reply-To: e\n" +
				"Reply-To: f\nSender: g\nFrom: h\nMessage-ID: <i>\nDate: 3 Feb 2025 10:00:00 +0100\nY: 2\n" +
				"Resent-Message-ID: j\nResent-Date: k\nResent-Bcc: l\nResent-Cc: m\nResent-To: n\nResent-Reply-To: o\n" +
				"Resent-From: p\nResent-Sender: q\nReturn-Receipt-To: r\nErrors-To: s\nDelivered-To: t\nReceived: u\n" +
				"Bcc: v\nReturn-Path: w\nApparently-To: x\nContent-Length: y\n",
			"Resent-Message-ID: j\nResent-Date: k\nResent-Bcc: l\nResent-Cc: m\nResent-To: n\nResent-Reply-To: o\n" +
				"Resent-From: p\nResent-Sender: q\nReturn-Receipt-To: r\nErrors-To: s\nDelivered-To: t\nReceived: u\n" +
				"Date: 3 Feb 2025 10:00:00 +0100\nMessage-ID: <i>\nFrom: h@me.example\nSender: g@me.example\n" +
				"Reply-To: f@me.example\nMail-Reply-To: e@me.example\nMail-Followup-To: d@me.example\n" +
				"To: c@me.example\nCc: b@me.example\nNotice-Requested-Upon-Delivery-To: a@me.example\nX: 1\nY: 2\n",
		},
		{
			"fields of one name are one",
			"to: a\nTO : b\nTo: c,\n d\n",
			dated + named + joe + "To: a@me.example, b@me.example, c@me.example, d@me.example\n",
		},
		{
			"the zone of Date stands in its own Message-ID",
			"Date: Mon, 3 Feb 2025 10:00:00 +0100\n",
			"Date: 3 Feb 2025 10:00:00 +0100\nMessage-ID: <20250203100000.1.2811.qmail@me.example>\n" + joe + hush,
		},
		{
			"of several Dates the one that is one",
			"Date: x\nDate: 3 Feb 2025 10:00:00 -0000\nDate: y\n",
			"Date: 3 Feb 2025 10:00:00 -0000\nMessage-ID: <20250203100000.1.2811.qmail@me.example>\n" + joe + hush,
		},
		{
			"Message-IDs as they are",
			"message-id: <a\n b>\nMessage-ID  : x\n",
			dated + "message-id: <a\n b>\nMessage-ID  : x\n" + joe + hush,
		},
		{"From without an address", "From:\n", dated + named + joe + hush},
		{"From with a group", "From: x:;\n", dated + named + "From: \"x\": ;\n" + hush},
		{"To with a group only", "To: undisclosed-recipients:;\n", dated + named + joe + "To: \"undisclosed-recipients\": ;\n"},
		{"To with nothing", "To: \nCc:\n", dated + named + joe + hush},
		{"empty addresses", "From: <>, x <>\n", dated + named + "From: <>, \"x\" <>\n" + hush},
		{
			"hosts of two at signs",
			"From: a@b@c, \"a@b\"@c, a@[1.2], x@z.\n",
			dated + named + "From: \"a@b\"@c.me.example, \"a@b\"@c.me.example, a@[1.2], x@z.me.example\n" + hush,
		},
		{
			"names that only begin like one that is known",
			"Re: x\nT: a\nDat: b\nFro: c\n",
			dated + named + joe + hush + "Re: x\nT: a\nDat: b\nFro: c\n",
		},
		{"a group in one field and an address in the next", "To: g:;\nTo: a\n", dated + named + joe + "To: \"g\" <a@me.example>\n"},
		{"a continuation of nothing", " x\n\ty\nX: z\n", dated + named + joe + hush + "X: z\n"},
		{"folded fields that are not read", "X:\n y\n\tz\nY: \n", dated + named + joe + hush + "X:\n y\n\tz\nY: \n"},
		{"a NUL", "X: \x00\nTo: a\x00b\n", dated + named + joe + "To: \"a\\\x00b\"@me.example\nX: \x00\n"},
	} {
		if got := rewrite(newRewriter(), c.in, origin); got != c.want {
			t.Errorf("%s:\n%s\ngot\n%s\nwant\n%s", c.why, c.in, got, c.want)
		}
	}
}

func TestAuthor(t *testing.T) {
	for _, c := range []struct {
		why, in, want string
		origin        Origin
	}{
		{"bounces", "", "From: <>\n", Origin{}},
		{"a sender of two at signs", "", "From: \"a@b\"@c.d\n", Origin{Sender: "a@b@c.d"}},
		{"From stands", "From: x@y.z\n", "From: x@y.z\n", Origin{Sender: "a@b.c", Name: "Joe"}},
		{"who is known writes as themselves", "From: x@y.z\n", "From: \"Joe Shmoe\" <a@b.c>\n", Origin{Sender: "a@b.c", Name: "Joe Shmoe", Known: true}},
		{"known by address only", "From: x@y.z\n", "From: a@b.c\n", Origin{Sender: "a@b.c", Known: true}},
		{"a name is no header", "", "From: \"J X: y\" <a@b.c>\n", Origin{Sender: "a@b.c", Name: "J\nX: y", Known: true}},
	} {
		out := rewrite(newRewriter(), c.in, c.origin)
		if !strings.Contains(out, "\n"+c.want+hush) {
			t.Errorf("%s:\n%s", c.why, out)
		}
	}
}

func TestLine(t *testing.T) {
	for line, want := range map[string]string{
		"X: y": "begins", "X:": "begins", "X :y": "begins", "X \t : y": "begins", "!~: y": "begins",
		" x": "continues", "\t": "continues", " X: y": "continues",
		"": "ends", ":": "ends", ": x": "ends", "X": "ends", "X y: z": "ends", "X\x7f: y": "ends",
		"\xc3\xb6: y": "ends", "X\x00: y": "ends", "X\r: y": "ends", "From joe Mon Feb": "ends",
	} {
		continues, begins := Line([]byte(line))
		got := "ends"
		if continues {
			got = "continues"
		} else if begins {
			got = "begins"
		}
		if got != want {
			t.Errorf("%q %s the header, it is said; it %s it", line, got, want)
		}
	}
}

// TestCount: a Message-ID of each message's own, and none is used up by one that
// has one.
func TestCount(t *testing.T) {
	w := newRewriter()
	for _, c := range [][2]string{{"", ".1."}, {"", ".2."}, {"Message-ID: <x>\n", "<x>"}, {"", ".3."}} {
		if out := rewrite(w, c[0], origin); !strings.Contains(out, c[1]) {
			t.Errorf("want %s in\n%s", c[1], out)
		}
	}
}

func TestMaxAddresses(t *testing.T) {
	for _, c := range []struct {
		why, in string
		ok      bool
	}{
		{"one more", "To: " + strings.Repeat("a,", MaxAddresses+1) + "\n", false},
		{"in several fields", "To: " + strings.Repeat("<a>", MaxAddresses/2) + "\nCc: " + strings.Repeat("b ", MaxAddresses/2) + "\n", true},
		{"one more in several fields", strings.Repeat("To: a\n", MaxAddresses/2) + strings.Repeat("Cc: b\n", MaxAddresses/2+1), false},
		{"groups, one more", "To: " + strings.Repeat("a:;", MaxAddresses+1) + "\n", false},
	} {
		if _, ok := newRewriter().Append(nil, c.in, origin); ok != c.ok {
			t.Errorf("%s: %v", c.why, ok)
		}
	}
}

// FuzzAppend: whatever the header, what is made of it is one, and once it has
// been rewritten twice it stays as it is. (The second time turns our own
// "recipient list not shown: ;" into a group like any other.)
func FuzzAppend(f *testing.F) {
	for _, seed := range []string{
		"To: Joe <joe@here>, (c) \"a\\\"b\"@[1], g: x@y, z;\n",
		"From: <@r,@s:j@x.y> (c (d) e)\nDate: Mon, 3 Feb 25 10:00 EST DST\nTo: g:;\nTo:\n a\n",
		"Date: x; 31 Dec 999 1:2:3 -0000\nCc: =?a?q?b?= <\x00\r@\xff>\nX: y\n\tz\n",
		" x\nSender: a: b: <c>, \\",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var in []byte
		for line := range strings.SplitSeq(text, "\n") {
			if continues, begins := Line([]byte(line)); continues || begins {
				in = append(append(in, line...), '\n')
			}
		}
		newRewriter().Append(nil, string(in), origin)
		w := &Rewriter{IDHost: "h"}
		once := rewrite(w, string(in), origin)
		for line := range strings.SplitSeq(strings.TrimSuffix(once, "\n"), "\n") {
			if continues, begins := Line([]byte(line)); !continues && !begins {
				t.Fatalf("%q is rewritten to %q", in, once)
			}
		}
		twice := rewrite(w, once, origin)
		if thrice := rewrite(w, twice, origin); thrice != twice {
			t.Errorf("%q\nis rewritten to\n%q\nand that to\n%q", in, twice, thrice)
		}
	})
}
