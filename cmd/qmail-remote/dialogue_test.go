package main

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/dnstest"
	"postrider/internal/nettest"
	"postrider/internal/smtptest"
)

// TestMain has the rights to make networks: see nettest.
func TestMain(m *testing.M) { nettest.Main(m) }

var where = flag.String("dialogues", "../../remote/testdata/dialogues", "the directory of the dialogues to run")

// TestDialogues runs every dialogue through the built programs, each in a network
// of its own: DNS and SMTP over sockets, the helpers under TLS. What
// remote.Engine reports in its own tests, qmail-remote must report here.
func TestDialogues(t *testing.T) {
	bin := build(t)
	err := filepath.WalkDir(*where, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".txtar") {
			return err
		}
		name, _ := strings.CutSuffix(strings.TrimPrefix(filepath.ToSlash(path), *where+"/"), ".txtar")
		d, err := smtptest.ReadDialogue(path)
		if err != nil {
			return err
		}
		if !d.Runs("process") || !d.Runs("whole") {
			return nil
		}
		if d.Runs("clear") {
			t.Run(name+"/clear", func(t *testing.T) { play(t, bin, d) })
		}
		if tls := d.WithTLS(); tls != nil {
			t.Run(name+"/tls", func(t *testing.T) { play(t, bin, tls) })
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	cmd := exec.Command("go", "build", "-o", bin+"/", "postrider/cmd/qmail-remote", "postrider/cmd/qmail-remote-io", "postrider/cmd/ucspi-tlsc")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func play(t *testing.T, bin string, d *smtptest.Dialogue) {
	t.Parallel()
	// The thread is in a network that nobody else is in, and dies with the test.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if err := nettest.Loopback(); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := d.Install(home); err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.ParseZone(d.Zone)
	if err != nil {
		t.Fatal(err)
	}
	names, err := dnstest.Serve("127.0.0.1:53", zone, dnstest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	w := d.World()
	shut := listen(t, d, w)
	got := delivery(t, bin, home, d)
	shut()
	for _, wrong := range append(w.Finish(), d.Leftovers(home)...) {
		t.Error(wrong)
	}
	got = bytes.ReplaceAll(got, []byte(home), []byte("{home}"))
	if !bytes.Equal(got, d.Report) {
		t.Errorf("the report is\n%snot\n%s", smtptest.Escape(got), smtptest.Escape(d.Report))
	}
}

// delivery runs the program once, as qmail-rspawn would, but for descriptor 2, on
// which nothing may appear.
func delivery(t *testing.T, bin, home string, d *smtptest.Dialogue) []byte {
	message := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(message, d.Message, 0o600); err != nil {
		t.Fatal(err)
	}
	stdin, err := os.Open(message)
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
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

// listen serves the scripts. The function it returns takes what is still in the
// queues, and stops.
func listen(t *testing.T, d *smtptest.Dialogue, w *smtptest.World) (shut func()) {
	var doors []*door
	for addr, s := range d.Servers {
		if s.Refuse {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		o := &door{Listener: l, caller: &net.TCPAddr{IP: net.IPv4(127, 9, 9, 9)}, done: make(chan struct{})}
		if strings.HasPrefix(addr, "[") {
			o.caller.IP = net.ParseIP("2001:db8::9:9")
		}
		doors = append(doors, o)
		go o.serve(addr, w)
	}
	return func() {
		for _, o := range doors {
			o.shut(t)
		}
	}
}

// door is a listener that is shut by a call from an address of its own: who
// called before that has been let in.
type door struct {
	net.Listener
	caller *net.TCPAddr
	done   chan struct{}
}

func (o *door) serve(addr string, w *smtptest.World) {
	defer close(o.done)
	for {
		conn, err := o.Accept()
		if err != nil {
			return
		}
		from := conn.RemoteAddr().(*net.TCPAddr).IP
		if from.Equal(o.caller.IP) {
			conn.Close()
			return
		}
		w.Serve(addr, conn, from.String())
	}
}

func (o *door) shut(t *testing.T) {
	defer o.Close()
	dialer := net.Dialer{LocalAddr: o.caller, Timeout: time.Second}
	last, err := dialer.Dial("tcp", o.Addr().String())
	if err != nil {
		t.Error(err)
		return
	}
	<-o.done
	last.Close()
}
