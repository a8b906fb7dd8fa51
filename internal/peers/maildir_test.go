package peers

import "testing"

func TestParseDelivered(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     Message
	}{
		{"Postfix", "Return-Path: <a@b>\nX-Original-To: c@d\nDelivered-To: c@d\nReceived: from x\n\tby y\nReceived: older\n\nbody\n",
			Message{"a@b", "c@d", "from x\n\tby y", "Received: older\n\nbody\n"}},
		{"Exim, null sender", "Return-path: <>\nEnvelope-to: c@d\nReceived: from x\nSubject: s\n\nbody\n",
			Message{"", "c@d", "from x", "Subject: s\n\nbody\n"}},
		{"no trace", "Subject: s\n\nReceived: in the body\n", Message{Text: "Subject: s\n\nReceived: in the body\n"}},
		{"no header", "\nbody\n", Message{Text: "\nbody\n"}},
		{"cut short", "Received: from", Message{Trace: "from"}},
		{"empty", "", Message{}},
	} {
		if got := parseDelivered(c.in); got != c.want {
			t.Errorf("%s: %+q, want %+q", c.name, got, c.want)
		}
	}
}
