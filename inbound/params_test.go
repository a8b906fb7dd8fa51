package inbound

import "testing"

func TestMailParam(t *testing.T) {
	for _, tt := range []struct {
		param    string
		utf8     bool
		wants    bool
		accepted bool
	}{
		{"SMTPUTF8", true, true, true},
		{"smtputf8", false, false, false},
		{"BODY=8BITMIME", false, false, true},
		{"body=BinaryMIME", true, false, false},
		{"RET=FULL", true, false, false},
		{"ENVID=x", true, false, false},
		{"X-UNKNOWN=y", false, false, true},
		{"", false, false, true},
	} {
		wants, err := MailParam(tt.param, tt.utf8)
		if wants != tt.wants || (err == nil) != tt.accepted {
			t.Errorf("%q, announced %v: %v, %v", tt.param, tt.utf8, wants, err)
		}
	}
}
