package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"postrider/internal/nettest"
	"postrider/internal/proctest"
	"postrider/internal/smtptest"
	"postrider/internal/smtptest/stage"
)

// bin is where TestMain has built programs.
var (
	bin      string
	programs = []string{"qmail-remote", "qmail-remote-io", "ucspi-tlsc", "qmail-rspawn"}
)

// TestMain has the rights to make networks: see nettest.
func TestMain(m *testing.M) {
	if err := nettest.Reexec(); err != nil {
		os.Exit(nettest.Skip(err))
	}
	proctest.Main(m, &bin, programs...)
}

var where = flag.String("dialogues", "../../remote/testdata/dialogues", "the directory of the dialogues to run")

// TestDialogues runs every dialogue through the built programs, each in a network
// of its own: DNS and SMTP over sockets, the helpers under TLS. What
// remote.Engine reports in its own tests, qmail-remote must report here.
func TestDialogues(t *testing.T) {
	for name, file := range stage.Dialogues(t, *where) {
		d, err := smtptest.ReadDialogue(file)
		if err != nil {
			t.Fatal(err)
		}
		if !d.Runs("process") || !d.Runs("whole") {
			continue
		}
		if d.Runs("clear") {
			t.Run(name+"/clear", func(t *testing.T) { play(t, d) })
		}
		if tls := d.WithTLS(); tls != nil {
			t.Run(name+"/tls", func(t *testing.T) { play(t, tls) })
		}
	}
}

func play(t *testing.T, d *smtptest.Dialogue) {
	t.Parallel()
	home := t.TempDir()
	if err := d.Install(home); err != nil {
		t.Fatal(err)
	}
	n := stage.Enter(t, d)
	got := delivery(t, home, d)
	for _, wrong := range append(n.End(t), d.Leftovers(home)...) {
		t.Error(wrong)
	}
	got = bytes.ReplaceAll(got, []byte(home), []byte("{home}"))
	if !bytes.Equal(got, d.Report) {
		t.Errorf("the report is\n%snot\n%s", smtptest.Escape(got), smtptest.Escape(d.Report))
	}
}

// delivery runs the program once, as qmail-rspawn would, but for descriptor 2, on
// which nothing may appear.
func delivery(t *testing.T, home string, d *smtptest.Dialogue) []byte {
	message := filepath.Join(t.TempDir(), "message")
	if err := d.WriteMessage(message); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(message)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, bin+"/qmail-remote", d.Argv...)
	cmd.Env = []string{"QMAILHOME=" + home, "DNSCACHEIP=127.0.0.1", "PATH=" + os.Getenv("PATH")}
	cmd.Dir = "/"
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Errorf("qmail-remote: %v", err)
	}
	if stderr.Len() > 0 {
		t.Errorf("on descriptor 2: %s", stderr.Bytes())
	}
	return stdout.Bytes()
}
