package chain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtp"
	"postrider/tlspolicy"
)

// Before MAIL nothing is in doubt, and nothing of SMTP is said without TLS.
func TestNoTLS(t *testing.T) {
	hangUp := func(*peer) {}
	for reason, c := range map[string]struct {
		script func(*peer)
		change func(*Chain, *tlspolicy.Policy)
		fault  smtp.Fault
		detail string
	}{
		"garbage": {script: func(p *peer) { p.say("250 hello, I am no TLS"); p.rest() }, fault: smtp.TLSFailed, detail: "handshake: "},
		"closed":  {script: hangUp, fault: smtp.TLSFailed, detail: "handshake: "},
		"silence": {script: func(p *peer) { p.rest() }, fault: smtp.TLSFailed, detail: "timed out"},
		"wrong name": {
			script: func(p *peer) { p.secure("other.example"); p.rest() },
			change: func(_ *Chain, p *tlspolicy.Policy) {
				*p = tlspolicy.Policy{Mode: tlspolicy.Verify, Names: []string{"mx.example"}, Anchors: anchors(t)}
			},
			fault: smtp.TLSFailed, detail: "pkix: ",
		},
		"no anchors": {
			script: func(p *peer) { p.silence() },
			change: func(_ *Chain, p *tlspolicy.Policy) {
				*p = tlspolicy.Policy{Mode: tlspolicy.Verify, Anchors: "/nonexistent/a"}
			},
			fault: smtp.TLSLocal, detail: "/nonexistent/a",
		},
		"no key": {
			script: func(p *peer) { p.silence() },
			change: func(_ *Chain, p *tlspolicy.Policy) { p.Cert, p.Key = "/nonexistent/c", "/nonexistent/k" },
			fault:  smtp.TLSLocal, detail: "/nonexistent/",
		},
		"no ucspi-tlsc": {
			script: func(p *peer) { p.silence() },
			change: func(c *Chain, _ *tlspolicy.Policy) { c.Dir = at("/nonexistent") },
			fault:  smtp.TLSLocal, detail: "unable to run ucspi-tlsc",
		},
		"no qmail-remote-io": {
			script: func(p *peer) { p.secure("mx.example"); p.silence() },
			change: func(c *Chain, _ *tlspolicy.Policy) { c.Dir = at(without(t, "qmail-remote-io")) },
			fault:  smtp.TLSLocal, detail: "unable to run",
		},
	} {
		conn, _ := server(t, c.script)
		chain, h := handover(t, conn, text)
		if reason == "silence" { // the others are to end sooner, on a busy machine too
			h.Params.Timeout = 300 * time.Millisecond
		}
		if c.change != nil {
			c.change(chain, h.Policy)
		}
		tx := chain.Converse(t.Context(), h)
		if tx.Stage != smtp.AtTLS || tx.Fault != c.fault || !strings.Contains(tx.Detail, c.detail) || strings.Contains(tx.Detail, "\n") {
			t.Errorf("%s: %+v", reason, tx)
		}
		noProcesses(t)
	}
}

// without is a directory of our programs where one is missing.
func without(t *testing.T, program string) string {
	dir := t.TempDir()
	for _, name := range []string{"ucspi-tlsc", "qmail-remote-io"} {
		if name != program {
			if err := os.Symlink(filepath.Join(bin, name), filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
