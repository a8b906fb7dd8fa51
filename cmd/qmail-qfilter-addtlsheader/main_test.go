package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"postrider/inbound"
	"postrider/internal/proctest"
)

var bin string

func TestMain(m *testing.M) { proctest.Main(m, &bin, "qmail-qfilter-addtlsheader") }

var noon = time.Date(2026, 11, 2, 12, 0, 5, 0, time.UTC)

const message = "Subject: x\n\nbody\x00\n\nno end"

func TestField(t *testing.T) {
	tls := inbound.Env{"SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=TLS_AES_128_GCM_SHA256"}
	with := func(more ...string) inbound.Env { return append(tls[:2:2], more...) }
	const tail = "TLSv1.3 TLS_AES_128_GCM_SHA256); 2 Nov 2026 12:00:05 -0000\n"
	for reason, c := range map[string]struct {
		env  inbound.Env
		want string
	}{
		"no TLS":                {nil, ""},
		"no cipher":             {inbound.Env{"SSL_PROTOCOL=TLSv1.3"}, ""},
		"no protocol":           {inbound.Env{"SSL_CIPHER=x", "FIXSMTPIOTLS=1"}, ""},
		"TLS":                   {tls, "Received: (ucspitls " + tail},
		"by fixsmtpio":          {with("FIXSMTPIOTLS=1"), "Received: (ucspitls acceptutils fixsmtpio " + tail},
		"by authup":             {with("AUTHUP_USER=joe@here.example"), "Received: (ucspitls acceptutils authup joe@here.example " + tail},
		"by both":               {with("AUTHUP_USER=joe", "FIXSMTPIOTLS="), "Received: (ucspitls acceptutils fixsmtpio " + tail},
		"a user with ideas":     {with("AUTHUP_USER=a)\r\nBcc: b\\(\x00é~"), "Received: (ucspitls acceptutils authup a???Bcc:?b?????~ " + tail},
		"a cipher with ideas":   {inbound.Env{"SSL_PROTOCOL=a\nb", "SSL_CIPHER=c d)"}, "Received: (ucspitls a?b c?d?); 2 Nov 2026 12:00:05 -0000\n"},
		"a user without a name": {with("AUTHUP_USER="), "Received: (ucspitls acceptutils authup  " + tail},
	} {
		var out bytes.Buffer
		if code := run(strings.NewReader(message), &out, c.env, noon); code != 0 || out.String() != c.want+message {
			t.Errorf("%s: exit %d, %q", reason, code, out.String())
		}
	}
}

// full takes so many bytes and no more.
type full int

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), int(*f))
	*f -= full(n)
	if n < len(p) {
		return n, errors.New("full")
	}
	return n, nil
}

// TestHalfAMessage: what is not copied whole is not said to be.
func TestHalfAMessage(t *testing.T) {
	env := inbound.Env{"SSL_PROTOCOL=x", "SSL_CIPHER=y"}
	for room, want := range map[full]int{0: exitWrite, 5: exitWrite, 60: exitWrite, 1000: 0} {
		if code := run(strings.NewReader(message), &room, env, noon); code != want {
			t.Errorf("exit %d, not %d", code, want)
		}
	}
	broken := io.MultiReader(strings.NewReader(message), iotest.ErrReader(errors.New("broken")))
	if code := run(broken, io.Discard, env, noon); code != exitRead {
		t.Errorf("a message that breaks: exit %d", code)
	}
}

// TestFilter runs the program on files, as qmail-qfilter does.
func TestFilter(t *testing.T) {
	big := strings.Repeat(message+"\n", 1<<16)
	in, out := proctest.InOut(t, big)
	cmd := exec.Command(filepath.Join(bin, "qmail-qfilter-addtlsheader"))
	cmd.Stdin, cmd.Stdout, cmd.Env = in, out, []string{"SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=X"}
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out.Name())
	if err != nil {
		t.Fatal(err)
	}
	head, rest, _ := strings.Cut(string(got), "\n")
	if !strings.HasPrefix(head, "Received: (ucspitls TLSv1.3 X); ") || rest != big {
		t.Errorf("%q and %d bytes", head, len(rest))
	}
	cmd = exec.Command(filepath.Join(bin, "qmail-qfilter-addtlsheader"))
	null, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	cmd.Stdin, cmd.Stdout = strings.NewReader(message), null // not for writing
	if cmd.Run(); cmd.ProcessState.ExitCode() != exitWrite {
		t.Errorf("exit %v", cmd.ProcessState)
	}
}
