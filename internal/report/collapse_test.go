package report

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"postrider/internal/smtp"
)

// TestCollapse holds what stock qmail-rspawn makes of a qmail-remote's output.
func TestCollapse(t *testing.T) {
	for reason, cases := range map[string][]struct {
		exit      int
		out, want string
	}{
		"how it ended": {
			{-1, "r\x00Kfine\n\x00", "Zqmail-remote crashed.\n"},
			{111, "r\x00Kfine\n\x00", "ZUnable to run qmail-remote.\n"},
			{100, "r\x00Kfine\n\x00", "DUnable to run qmail-remote.\n"},
			{1, "", "DUnable to run qmail-remote.\n"},
			{2, "", "DUnable to run qmail-remote.\n"},
			{0, "", "Zqmail-remote produced no output.\n"},
		},
		"both letters": {
			{0, "r\x00KB\x00", "KB"},
			{0, "rA\x00KB\x00", "KAB"},
			{0, "rA\x00ZB\x00", "ZAB"},
			{0, "rA\x00DB\x00", "DAB"},
			{0, "hA\x00KB\x00", "DA"},
			{0, "hA\x00ZB\x00", "DA"},
			{0, "hA\x00DB\x00", "DAB"},
			{0, "sA\x00KB\x00", "ZA"},
			{0, "sA\x00ZB\x00", "ZAB"},
			{0, "sA\x00DB\x00", "ZAB"},
		},
		"one record": {{0, "ZX\x00", "ZX"}, {0, "DX\x00", "DX"}, {0, "KX\x00", "KX"}},
		"no letter":  {{0, "garbage\x00", "Darbage"}, {0, "sX\x00", "ZX"}, {0, "rX\x00", "DX"}, {0, "\x00", "D"}, {0, "\x00\x00", "D"}},
		"no NUL":     {{0, "Kfoo", "D"}, {0, "rfoo", "D"}, {0, "sfoo", "Z"}, {0, "rA\x00Kfoo", "DAfoo"}, {0, "K", "D"}},
		"more records": {
			{0, "r\x00hx\x00Kd\x00", "K"},
			{0, "rA\x00KB\x00DC\x00", "KAB"},
			{0, "KA\x00ZB\x00", "KAB"},
			{0, "rA\x00\x00KB\x00", "KA"},
		},
		"NUL first": {{0, "\x00KB\x00", "KKB"}, {0, "\x00A\x00ZB\x00", "ZAB"}},
	} {
		for _, c := range cases {
			if got := string(Collapse(c.exit, []byte(c.out))); got != c.want {
				t.Errorf("%s: %d %q: got %q, want %q", reason, c.exit, c.out, got, c.want)
			}
		}
	}
}

// collapse is the same rule over a whole output, as one would say it at once.
func collapse(out []byte) string {
	records := bytes.SplitAfter(out, []byte{0})
	result := byte('D')
	for _, r := range records {
		if bytes.HasSuffix(r, []byte{0}) && strings.IndexByte("KZD", r[0]) >= 0 {
			result = r[0]
			break
		}
	}
	letter := result
	switch out[0] {
	case 's':
		letter = 'Z'
	case 'h':
		letter = 'D'
	}
	first, rest, found := bytes.Cut(out[1:], []byte{0})
	if !found {
		return string(letter)
	}
	second, _, _ := bytes.Cut(rest, []byte{0})
	if strings.Index("DZK", string(result)) > strings.Index("DZK", string(letter)) || len(second) == 0 || strings.IndexByte("KZD", second[0]) < 0 {
		return string(letter) + string(first)
	}
	return string(letter) + string(first) + string(second[1:])
}

func FuzzCollapse(f *testing.F) {
	for _, s := range []string{"r\x00KB\x00", "\x00\x00Kx", "hA\x00DB\x00rest", "Z\x00", "s"} {
		f.Add([]byte(s), 1)
	}
	f.Fuzz(func(t *testing.T, out []byte, split int) {
		if len(out) == 0 || len(out) > maxReport {
			return
		}
		want := collapse(out)
		if got := string(Collapse(0, out)); got != want {
			t.Fatalf("%q: got %q, want %q", out, got, want)
		}
		split = int(uint(split) % uint(len(out)))
		var d Digest
		d.Write(out[:split])
		d.Write(out[split:])
		if got := string(d.Line(0)); got != want {
			t.Fatalf("%q in two parts: got %q, want %q", out, got, want)
		}
	})
}

// TestDigestIsBounded: of a program that never stops talking no more is kept
// than qmail-send reads, and its verdict still counts.
func TestDigestIsBounded(t *testing.T) {
	var d Digest
	d.Write([]byte("r"))
	for range 1000 {
		d.Write(bytes.Repeat([]byte("x"), 1000))
	}
	d.Write([]byte("\x00K"))
	for range 1000 {
		d.Write(bytes.Repeat([]byte("y"), 1000))
	}
	d.Write([]byte("\x00"))
	line := d.Line(0)
	if line[0] != 'K' || len(line) > 2*maxReport+1 || !bytes.Equal(line[1:maxReport+1], bytes.Repeat([]byte("x"), maxReport)) {
		t.Errorf("%d bytes, %.20q", len(line), line)
	}
}

// TestLine: an outcome in our own process reads as if qmail-remote had printed
// it, and is K only if the server took message and recipient.
func TestLine(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	letters := map[byte]int{}
	for range 4000 {
		o := randomOutcome(r)
		line := o.Line()
		if want := Collapse(0, o.AppendTo(nil)); !bytes.Equal(line, want) {
			t.Fatalf("%+v\n got %q\nwant %q", o, line, want)
		}
		if bytes.IndexByte(line, 0) >= 0 {
			t.Fatalf("%+v: NUL in %q", o, line)
		}
		if line[0] == 'K' && (o.Cause != Accepted || len(o.Rcpts) > 0 && !o.Rcpts[0].Positive()) {
			t.Fatalf("%+v: %q", o, line)
		}
		letters[line[0]]++
	}
	if letters['K'] < 100 || letters['Z'] < 100 || letters['D'] < 100 || len(letters) != 3 {
		t.Errorf("letters %v", letters)
	}
}

// randomOutcome is one of a delivery to one recipient, consistent or not.
func randomOutcome(r *rand.Rand) *Outcome {
	o := &Outcome{
		Cause: Cause(r.IntN(int(RequireTLSFailed) + 1)), Host: randomText(r, 30), Reply: randomReply(r),
		InDoubt: r.IntN(4) == 0, Detail: randomText(r, 600),
	}
	if r.IntN(3) > 0 {
		o.Cause = []Cause{Accepted, GaveUp, DataRefused, ContentRefused, ConnectionDied}[r.IntN(5)]
		o.Rcpts = []smtp.Reply{randomReply(r)}
	}
	if r.IntN(2) == 0 {
		o.TLS = smtp.Security{Version: "TLSv1.3", Cipher: randomText(r, 20), Verified: "no"}
	}
	return o
}

func randomReply(r *rand.Rand) smtp.Reply {
	reply := smtp.Reply{Code: []int{0, 250, 250, 354, 421, 450, 550, 552}[r.IntN(8)]}
	for range r.IntN(4) {
		reply.Lines = append(reply.Lines, randomText(r, []int{10, 100, 10, 100, 10, 100, 9000}[r.IntN(7)]))
	}
	return reply
}

// randomText has what ends records and begins them.
func randomText(r *rand.Rand, limit int) string {
	b := make([]byte, r.IntN(limit))
	for i := range b {
		b[i] = "KZDrhs\x00\n\r x\xff"[r.IntN(12)]
	}
	return string(b)
}
