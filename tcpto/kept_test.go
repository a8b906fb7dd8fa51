package tcpto

import (
	"os"
	"testing"
	"time"
)

// TestKept: what others write is seen by the next table, however soon after the
// last it comes, and what has not changed for a while is not read.
func TestKept(t *testing.T) {
	r := newRig(t, full4())
	k := Keep(r.four, r.six, time.Now)
	for i := range 20 {
		when := time.Now().Unix()
		if i%2 == 1 {
			when -= 7 * 24 * 3600
		}
		r.write(r.four, full4(rec4("192.0.2.1", 2, when)))
		if blocked := k.Table().Blocked(a); blocked != (i%2 == 0) {
			t.Errorf("round %d: blocked is %v", i, blocked)
		}
	}
	if err := os.Remove(r.four); err != nil {
		t.Fatal(err)
	}
	if k.Table().Blocked(a) {
		t.Error("blocked by a file that is gone")
	}
	later := func() time.Time { return time.Now().Add(time.Hour) }
	r.write(r.four, full4(rec4("192.0.2.1", 2, later().Unix())))
	k = Keep(r.four, r.six, later)
	if !k.Table().Blocked(a) {
		t.Error("not blocked")
	}
	k.v4.seen = full4()
	if k.Table().Blocked(a) {
		t.Error("read again without a change")
	}
}
