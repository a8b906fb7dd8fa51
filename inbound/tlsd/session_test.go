package tlsd

import (
	"bytes"
	"testing"

	"postrider/internal/fdconn"
)

// What a client has put into its certificate or its SNI cannot become another
// variable of the program.
func TestForeignText(t *testing.T) {
	for name, want := range map[string]bool{
		"mx.example": true, "MX-1_a.example": true, "": false, "a\x00SSL_VERIFIED=pkix": false, "a b": false, "a\nb": false,
		"a=b": false, "mü.example": false, string(bytes.Repeat([]byte("a"), 256)): false,
	} {
		if isName(name) != want {
			t.Errorf("%q is a name: %v", name, !want)
		}
	}
	if got := oneLine("CN=a\x00b\nc\x7f\xff,O=ü"); got != "CN=a?b?c??,O=ü" {
		t.Errorf("%q", got)
	}
}

// A block is what fdconn reads.
func TestBlock(t *testing.T) {
	for _, records := range [][]string{nil, {"SSL_A=b"}, {"SSL_A=b", "SSL_C", "SSL_D="}} {
		got, err := fdconn.ParseRecords(append(Block(records), bytes.Repeat([]byte{0}, b2i(records == nil))...))
		if err != nil || len(got) != len(records) {
			t.Errorf("%q: %q, %v", records, got, err)
		}
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
