package inbound

import "time"

// Date is t as qmail writes dates, in UTC and without a line end:
// "20 Nov 2026 11:39:40 -0000".
func Date(t time.Time) string {
	return t.UTC().Format("2 Jan 2006 15:04:05") + " -0000"
}
