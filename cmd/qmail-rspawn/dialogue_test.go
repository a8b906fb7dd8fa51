package main

import (
	"flag"
	"strings"
	"testing"

	"postrider/internal/smtptest"
	"postrider/internal/smtptest/stage"
)

var where = flag.String("dialogues", "../../remote/testdata/dialogues", "the directory of the dialogues to run")

// TestDialogues runs every dialogue with one recipient through the built
// program, front and engine, each in a network of its own. What qmail-send hears
// must be what it would hear of a qmail-rspawn whose qmail-remote printed the
// dialogue's report. Two kinds are only internal/engine's: several recipients,
// which would come in any order here, and the faults' second run, under TLS.
func TestDialogues(t *testing.T) {
	played := 0
	for name, file := range stage.Dialogues(t, *where) {
		d, err := smtptest.ReadDialogue(file)
		if err != nil {
			t.Fatal(err)
		}
		if len(stage.Orders(d)) != 1 || !d.Runs("process") || !d.Runs("whole") || strings.HasPrefix(name, "tcpto/") {
			continue // at its start, qmail-rspawn forgets who did not answer
		}
		played++
		if d.Runs("clear") {
			t.Run(name+"/clear", func(t *testing.T) { play(t, d) })
		}
		if tls := d.WithTLS(); tls != nil && !strings.HasPrefix(name, "faults/") {
			t.Run(name+"/tls", func(t *testing.T) { play(t, tls) })
		}
	}
	if played < 300 {
		t.Errorf("only %d dialogues", played)
	}
}

func play(t *testing.T, d *smtptest.Dialogue) {
	t.Parallel()
	r := prepare(t, "exit 0", "QMAILREMOTE=", "DNSCACHEIP=127.0.0.1", "QMAILSPAWN=1")
	if err := d.Install(r.home); err != nil {
		t.Fatal(err)
	}
	r.file("queue/mess/1/24", "", 0o644)
	if err := d.WriteMessage(r.home + "/queue/mess/1/24"); err != nil {
		t.Fatal(err)
	}
	n := stage.Enter(t, d)
	r.begin()
	r.limit()
	o := stage.Orders(d)[0]
	r.orderFrom(0, "1/24", o.Sender, o.Recipient)
	_, line := r.report()
	r.end(0)
	for _, wrong := range append(n.End(t), d.Leftovers(r.home)...) {
		t.Error(wrong)
	}
	if wrong := o.Heard(strings.ReplaceAll(line, r.home, "{home}")); wrong != "" {
		t.Error(wrong)
	}
}
