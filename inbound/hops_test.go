package inbound

import (
	"strings"
	"testing"
)

// S25: what counts as a hop.
func TestHops(t *testing.T) {
	for _, c := range []struct {
		reason, message string
		want            int
	}{
		{"nothing", "", 0},
		{"one of each", "Received: a\nDelivered-To: b\nSubject: c\n\n", 2},
		{"any case", "received: a\nRECEIVED: a\nReCeIvEd: a\ndelivered-to: b\n", 4},
		{"what begins so", "Received-SPF: a\nReceivedx: b\nDeliveredx\n", 3},
		{"what is shorter", "Receive: a\nDelivere: b\n", 0},
		{"not first in the line", " Received: a\nX: Received: b\n\tDelivered-To: c\nXReceived: d\n", 0},
		{"continued", "Received: a\n Received: b\n", 1},
		{"in the body", "Received: a\n\nReceived: b\nDelivered-To: c\n", 1},
		{"in a body that begins at once", "\nReceived: b\n", 0},
		{"a line of blanks is no end", "A: b\n \nReceived: c\n\nReceived: d\n", 1},
		{"a CR is no end", "\r\nReceived: c\n", 1},
		{"without a line end", "Received", 1},
		{"capitals beyond letters", "RECEIVE\xc4: a\n", 0},
	} {
		for cut := range len(c.message) + 1 {
			var h Hops
			h.Count([]byte(c.message[:cut]))
			h.Count([]byte(c.message[cut:]))
			if h.N != c.want {
				t.Errorf("%s, cut at %d: %d, want %d", c.reason, cut, h.N, c.want)
			}
		}
	}
}

func TestSafe(t *testing.T) {
	for c := range 256 {
		s := string([]byte{byte(c)})
		want := "?"
		if strings.Contains("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.@%+/=:-[]", s) {
			want = s
		}
		if got := Safe("x" + s + "y"); got != "x"+want+"y" {
			t.Errorf("%q: %q", s, got)
		}
	}
	if Safe("") != "" || Safe("h(el)o w\r\n") != "h?el?o?w??" {
		t.Error("not as qmail")
	}
}
