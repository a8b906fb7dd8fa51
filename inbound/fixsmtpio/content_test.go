package fixsmtpio

import (
	"strings"
	"testing"
)

// TestContent is every string of up to eight of CR, LF, "." and "a", whole and in
// two pieces cut anywhere.
func TestContent(t *testing.T) {
	const letters = "\r\n.a"
	for size := range 9 {
		b := make([]byte, size)
		for n := range 1 << (2 * size) {
			for i := range b {
				b[i] = letters[n>>(2*i)&3]
			}
			want := size
			at := strings.Index("\r\n"+string(b), "\r\n.\r\n")
			if at >= 0 {
				want = at + len(".\r\n")
			}
			for cut := range size + 1 {
				c := newContent()
				used, end := c.scan(b[:cut])
				if !end && used == cut {
					var more int
					more, end = c.scan(b[cut:])
					used += more
				}
				if used != want || end != (at >= 0) {
					t.Fatalf("%q cut at %d: %d, %v", b, cut, used, end)
				}
				passed := "\r\n" + string(b[:used])
				if lone := strings.HasSuffix(passed, "\n.\n") || strings.HasSuffix(passed, "\n.\r\n"); c.lone() != lone {
					t.Fatalf("%q cut at %d: lone %v", b, cut, c.lone())
				}
			}
		}
	}
}
