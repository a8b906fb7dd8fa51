package inbound

import (
	"testing"
	"time"
)

func TestDate(t *testing.T) {
	for want, at := range map[string]time.Time{
		"20 Nov 2026 11:39:40 -0000": time.Date(2026, 11, 20, 12, 39, 40, 0, time.FixedZone("", 3600)),
		"1 Jan 1970 00:00:00 -0000":  time.Unix(0, 0),
	} {
		if got := Date(at); got != want {
			t.Errorf("%v: %q, want %q", at, got, want)
		}
	}
}
