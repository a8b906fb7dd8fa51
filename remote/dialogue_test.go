package remote_test

import (
	"bytes"
	"context"
	"flag"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/control"
	"postrider/internal/dnstest"
	"postrider/internal/report"
	"postrider/internal/smtp"
	"postrider/internal/smtptest"
	"postrider/internal/smtptest/stage"
	"postrider/remote"
	"postrider/routes"
	"postrider/tcpto"
	"postrider/tlspolicy"
	"postrider/tlspolicy/handshake"
)

var (
	update = flag.Bool("update", false, "rewrite the report sections of dialogues with what is reported now")
	where  = flag.String("dialogues", "testdata/dialogues", "the directory of the dialogues to run")
)

// TestDialogues runs every dialogue through the engine in this process, in
// simulated time: however the server's bytes arrive, in clear and under TLS, the
// same must be reported and the same be said.
func TestDialogues(t *testing.T) {
	for name, file := range stage.Dialogues(t, *where) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := smtptest.ReadDialogue(file)
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				rewrite(t, file, d)
				return
			}
			for _, arrival := range smtptest.Arrivals() {
				if !d.Runs("engine") || !d.Runs(arrival.String()) {
					continue
				}
				if d.Runs("clear") {
					t.Run("clear/"+arrival.String(), func(t *testing.T) { check(t, d, arrival) })
				}
				if tls := d.WithTLS(); tls != nil {
					t.Run("tls/"+arrival.String(), func(t *testing.T) { check(t, tls, arrival) })
				}
			}
		})
	}
}

// rewrite is -update.
func rewrite(t *testing.T, file string, d *smtptest.Dialogue) {
	if !d.Runs("engine") {
		return
	}
	got, wrong := converse(t, d, smtptest.Whole)
	for _, w := range wrong {
		t.Error(w)
	}
	if len(wrong) == 0 && !bytes.Equal(got, d.Report) {
		if err := smtptest.Update(file, got); err != nil {
			t.Error(err)
		}
	}
}

func check(t *testing.T, d *smtptest.Dialogue, arrival smtptest.Arrival) {
	got, wrong := converse(t, d, arrival)
	for _, w := range wrong {
		t.Error(w)
	}
	if !bytes.Equal(got, d.Report) {
		t.Errorf("the report is\n%snot\n%s", smtptest.Escape(got), smtptest.Escape(d.Report))
	}
	wellFormed(t, got, len(d.Argv)-2)
}

// wellFormed checks what holds for every report (qmail-remote(8), RESULTS).
func wellFormed(t *testing.T, b []byte, rcpts int) {
	t.Helper()
	records := strings.SplitAfter(string(b), "\x00")
	if n := len(records); n < 2 || records[n-1] != "" {
		t.Fatalf("the report does not end with NUL: %q", b)
	}
	records = records[:len(records)-1]
	last := records[len(records)-1]
	if !strings.ContainsRune("KZD", rune(last[0])) || !strings.HasSuffix(last, "\n\x00") {
		t.Errorf("the last record is %q", last)
	}
	if len(records)-1 > max(rcpts, 0) {
		t.Errorf("%d recipient reports for %d recipients", len(records)-1, rcpts)
	}
	for _, r := range records[:len(records)-1] {
		if !strings.ContainsRune("rhs", rune(r[0])) {
			t.Errorf("a recipient report is %q", r)
		}
	}
	if len(b) >= 10000 {
		t.Errorf("the report has %d bytes", len(b))
	}
	for _, c := range b {
		if c != 0 && c != '\n' && (c < 0x20 || c > 0x7e) {
			t.Errorf("the report has a byte %#x in it", c)
		}
	}
}

// converse runs one dialogue in a bubble and returns the report and all that
// went otherwise than written.
func converse(t *testing.T, d *smtptest.Dialogue, arrival smtptest.Arrival) (got []byte, wrong []string) {
	home := t.TempDir()
	if err := d.Install(home); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w := d.World()
		w.Settle = synctest.Wait
		begun := time.Now()
		got = deliver(t, d, home, stage.Dialer(d, w, arrival))
		if took := time.Since(begun); d.Within != 0 && took > d.Within {
			t.Errorf("it took %v, longer than %v", took, d.Within)
		}
		wrong = append(w.Finish(), d.Leftovers(home)...)
	})
	return bytes.ReplaceAll(got, []byte(home), []byte("{home}")), wrong
}

// deliver does what qmail-remote does between its arguments and its report.
func deliver(t *testing.T, d *smtptest.Dialogue, home string, dial stage.Dial) []byte {
	o := func() report.Outcome {
		if len(d.Argv) < 3 {
			return report.Outcome{Cause: report.Usage}
		}
		e, err := engine(d, home, dial)
		if err != nil {
			return report.Outcome{Cause: report.UnreadableControl, Detail: control.Blame(err)}
		}
		m := &smtp.Message{At: bytes.NewReader(d.Message), Size: int64(len(d.Message)), Modified: time.Now().Add(-d.Age)}
		job, cause := remote.ParseJob(d.Argv, m)
		if cause != report.Accepted {
			return report.Outcome{Cause: cause, Host: d.Argv[0]}
		}
		return e.Deliver(context.Background(), job)
	}()
	return o.AppendTo(nil)
}

func engine(d *smtptest.Dialogue, home string, dial stage.Dial) (*remote.Engine, error) {
	s, err := control.Load(os.DirFS(home), home)
	if err != nil {
		return nil, err
	}
	zone, err := dnstest.ParseZone(d.Zone)
	if err != nil {
		return nil, err
	}
	run := home + "/run/qmail-remote/"
	return &remote.Engine{
		Control:     s,
		Resolver:    zone.Resolver(),
		Routes:      routes.OpenSMTP(home+"/control/smtproutes", run+"smtproutes.cdb", run+"smtproutes.lock"),
		AuthSenders: routes.ParseAuthSenders(s.AuthSenders),
		DomainIPs:   routes.ParseDomainIPs(s.DomainIPs),
		QMTPRoutes:  routes.ParseQMTP(s.QMTPRoutes),
		Timeouts:    tcpto.Open(home+"/queue/lock/tcpto", run+"tcpto6", time.Now),
		TLS: tlspolicy.New(tlspolicy.Config{Home: home, Anchors: s.TrustAnchors, Strictness: s.Strictness,
			ClientCert: s.ClientCert, ClientKey: s.ClientKey,
			Destinations: s.TLSDestinations, DomainCerts: s.DomainCerts, Hosts: os.DirFS(home + "/control")}),
		UnderTLS: remote.InProcess{Secure: handshake.Secure},
		Dial:     dial,
		Own:      func(netip.Addr) bool { return false },
	}, nil
}
