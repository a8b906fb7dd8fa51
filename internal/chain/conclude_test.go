package chain

import (
	"syscall"
	"testing"

	"postrider/internal/smtp"
)

func record(stage smtp.Stage, fault smtp.Fault) string {
	t := smtp.Transaction{Ending: smtp.Ending{Stage: stage, Fault: fault, Reply: smtp.Reply{Code: 250, Lines: []string{"250 ok"}}}}
	return string(t.AppendTo(nil))
}

func marked(stages ...smtp.Stage) string {
	b := ""
	for _, s := range stages {
		b += string([]byte{0x80 | byte(s)})
	}
	return b
}

const killed = syscall.WaitStatus(syscall.SIGKILL)

func exited(code int) syscall.WaitStatus { return syscall.WaitStatus(code << 8) }

func TestConclude(t *testing.T) {
	begun, sending, all := marked(smtp.AtEHLO), marked(smtp.AtEHLO, smtp.AtMail), marked(smtp.AtEHLO, smtp.AtMail, smtp.AtDot)
	for reason, c := range map[string]struct {
		result string
		ending
		stage smtp.Stage
		fault smtp.Fault
	}{
		"accepted":                       {result: all + record(smtp.AtQuit, smtp.NoFault), stage: smtp.AtQuit},
		"accepted, then the helper died": {all + record(smtp.AtQuit, smtp.NoFault), ending{status: killed}, smtp.AtQuit, 0},
		"accepted, then it failed":       {all + record(smtp.AtQuit, smtp.NoFault), ending{status: exited(98), note: "tls: bad MAC"}, smtp.AtQuit, 0},
		"accepted, then late":            {all + record(smtp.AtQuit, smtp.NoFault), ending{status: killed, late: true}, smtp.AtQuit, 0},
		"refused early":                  {result: begun + record(smtp.AtEHLO, smtp.NoFault), stage: smtp.AtEHLO},
		"refused at MAIL":                {result: sending + record(smtp.AtMail, smtp.NoFault), stage: smtp.AtMail},
		"silence after the dot":          {result: all + record(smtp.AtDot, smtp.TimedOut), stage: smtp.AtDot, fault: smtp.TimedOut},

		"handshake failed": {"", ending{status: exited(98)}, smtp.AtTLS, smtp.TLSFailed},
		// What the peer may have provoked, and what only we can have.
		"helper panicked":    {"", ending{status: syscall.WaitStatus(syscall.SIGABRT), note: "panic: index out of range"}, smtp.AtTLS, smtp.TLSFailed},
		"no memory":          {"", ending{status: syscall.WaitStatus(syscall.SIGABRT), note: "fatal error: out of memory"}, smtp.AtTLS, smtp.TLSLocal},
		"killed at once":     {"", ending{status: killed}, smtp.AtTLS, smtp.TLSLocal},
		"an empty message":   {sending + string([]byte{0x80 | byte(smtp.AtDot)}) + sending, ending{status: killed}, smtp.AtDot, smtp.Dropped},
		"no anchors":         {"", ending{status: exited(96)}, smtp.AtTLS, smtp.TLSLocal},
		"no such program":    {"", ending{status: exited(111)}, smtp.AtTLS, smtp.TLSLocal},
		"exited without sin": {"", ending{status: exited(0)}, smtp.AtTLS, smtp.TLSLocal},
		"late":               {"", ending{status: killed, late: true}, smtp.AtTLS, smtp.TimedOut},

		"died at EHLO":                {begun, ending{status: exited(137)}, smtp.AtEHLO, smtp.Dropped},
		"died at MAIL":                {sending, ending{status: exited(137)}, smtp.AtMail, smtp.Dropped},
		"died at the dot":             {all, ending{status: exited(137)}, smtp.AtDot, smtp.Dropped},
		"late at MAIL":                {sending, ending{status: killed, late: true}, smtp.AtMail, smtp.TimedOut},
		"late at the dot":             {all, ending{status: killed, late: true}, smtp.AtDot, smtp.TimedOut},
		"record cut short":            {all + record(smtp.AtQuit, smtp.NoFault)[:9], ending{status: exited(0)}, smtp.AtDot, smtp.Dropped},
		"garbage":                     {"KThat went well\x00", ending{}, smtp.AtDot, smtp.Dropped},
		"garbage after the marks":     {sending + "x", ending{}, smtp.AtDot, smtp.Dropped},
		"two records":                 {all + record(smtp.AtQuit, smtp.NoFault) + record(smtp.AtQuit, smtp.NoFault), ending{}, smtp.AtDot, smtp.Dropped},
		"record without marks":        {record(smtp.AtQuit, smtp.NoFault), ending{}, smtp.AtDot, smtp.Dropped},
		"accepted without a dot":      {sending + record(smtp.AtQuit, smtp.NoFault), ending{}, smtp.AtDot, smtp.Dropped},
		"unknown mark behind the dot": {marked(smtp.AtDot, 0x7a) + record(smtp.AtQuit, smtp.NoFault), ending{}, smtp.AtDot, smtp.Dropped},
		"unknown mark before all":     {marked(0x7a) + record(smtp.AtMail, smtp.Dropped), ending{}, smtp.AtDot, smtp.Dropped},
		"a mark nobody makes":         {marked(smtp.AtEHLO, smtp.AtRcpt), ending{}, smtp.AtDot, smtp.Dropped},
		"a mark beyond all":           {"\xff", ending{}, smtp.AtDot, smtp.Dropped},
	} {
		got := conclude([]byte(c.result), c.ending)
		if got.Stage != c.stage || got.Fault != c.fault {
			t.Errorf("%s: %+v", reason, got)
		}
	}
}

func TestWhy(t *testing.T) {
	for want, e := range map[string]ending{
		"no anchors":                            {note: "no anchors", status: exited(96)},
		"the TLS helper was killed by signal 9": {status: killed},
		"the TLS helper exited 7":               {status: exited(7)},
	} {
		if got := conclude(nil, e).Detail; got != want {
			t.Errorf("%+v: %q", e, got)
		}
	}
	for note, want := range map[string]string{
		"ucspi-tlsc: a\nb\n": "a", "panic: x": "panic: x", "": "", "\n": "", "x\r\n": "x",
	} {
		if got := firstLine([]byte(note)); got != want {
			t.Errorf("%q: %q", note, got)
		}
	}
}

// Only a whole record behind the mark of the dot is an acceptance, and what is
// neither that nor surely before the dot is in doubt.
func FuzzConclude(f *testing.F) {
	f.Add([]byte(marked(smtp.AtEHLO, smtp.AtMail, smtp.AtDot) + record(smtp.AtQuit, smtp.NoFault)))
	f.Add([]byte(marked(smtp.AtEHLO, smtp.AtMail) + record(smtp.AtQuit, smtp.NoFault)))
	f.Add([]byte(record(smtp.AtDot, smtp.Dropped)))
	f.Fuzz(func(t *testing.T, b []byte) {
		got := conclude(b, ending{status: killed})
		sent, strange, i := false, false, 0
		for ; i < len(b) && b[i] >= 0x80; i++ {
			at := smtp.Stage(b[i] & 0x7f)
			sent = sent || at == smtp.AtDot // first for an empty message
			strange = strange || at != smtp.AtEHLO && at != smtp.AtMail && at != smtp.AtDot
		}
		_, err := smtp.ParseTransaction(b[i:])
		switch {
		case got.Accepted() && (!sent || strange || err != nil):
			t.Fatalf("%q is accepted: %+v", b, got)
		case (err != nil && (sent || i < len(b)) || strange) && !got.InDoubt():
			t.Fatalf("%q is not in doubt: %+v", b, got)
		}
	})
}
