package engine

import (
	"bufio"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
	"postrider/internal/smtptest/stage"
	"postrider/internal/spawn"
)

var where = flag.String("dialogues", "../../remote/testdata/dialogues", "the directory of the dialogues to run")

// TestDialogues runs every dialogue that qmail-send can ask for through
// qmail-rspawn's frames and the engine, in simulated time. A slot must hear what
// it would hear of a qmail-remote that printed the dialogue's report; of several
// recipients, which go in one transaction, each its own.
func TestDialogues(t *testing.T) {
	played, several := 0, 0
	for name, file := range stage.Dialogues(t, *where) {
		d, err := smtptest.ReadDialogue(file)
		if err != nil {
			t.Fatal(err)
		}
		orders := stage.Orders(d)
		if len(orders) == 0 || !d.Runs("engine") || !d.Runs("whole") {
			continue
		}
		played++
		if len(orders) > 1 {
			several++
		}
		if d.Runs("clear") {
			t.Run(name+"/clear", func(t *testing.T) { play(t, d) })
		}
		if tls := d.WithTLS(); tls != nil {
			t.Run(name+"/tls", func(t *testing.T) { play(t, tls) })
		}
	}
	if played < 350 || several < 10 {
		t.Errorf("only %d dialogues, %d with several recipients", played, several)
	}
}

func play(t *testing.T, d *smtptest.Dialogue) {
	t.Parallel()
	home, orders, zone := furnish(t, d)
	var lines []string
	var wrong []string
	synctest.Test(t, func(t *testing.T) {
		if err := d.WriteMessage(home + "/queue/mess/0/1"); err != nil { // again: its age is simulated, too
			t.Fatal(err)
		}
		w := d.World()
		w.Settle = synctest.Wait
		e := New(home, spawn.MaxLimit)
		e.stage(zone, stage.Dialer(d, w, smtptest.Whole))
		begun := time.Now()
		lines = ask(t, e, home, orders, e.Healthy)
		if took := time.Since(begun); d.Within != 0 && took > d.Within+linger {
			t.Errorf("it took %v, longer than %v", took, d.Within)
		}
		e.Close()
		wrong = append(w.Finish(), d.Leftovers(home)...)
	})
	for _, w := range wrong {
		t.Error(w)
	}
	for i, o := range orders {
		if wrong := o.Heard(strings.ReplaceAll(lines[i], home, "{home}")); wrong != "" {
			t.Error(wrong)
		}
	}
}

// furnish makes a dialogue's home, with its message as 0/1.
func furnish(t *testing.T, d *smtptest.Dialogue) (home string, orders []stage.Order, zone dnstest.Zone) {
	t.Helper()
	home = t.TempDir()
	if err := d.Install(home); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(home+"/queue/mess/0", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.WriteMessage(home + "/queue/mess/0/1"); err != nil {
		t.Fatal(err)
	}
	zone, err := dnstest.ParseZone(d.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return home, stage.Orders(d), zone
}

// stage puts the engine into a world of its own. What its files say is read
// once: they will not change.
func (e *Engine) stage(zone dnstest.Zone, dial stage.Dial) {
	s, err := e.files.current()
	if err != nil {
		return // each delivery will say so
	}
	s.remote.Resolver = zone.Resolver()
	s.remote.Dial = dial
	s.remote.Own = func(netip.Addr) bool { return false }
}

// ask is qmail-send's part: it orders deliveries of message 0/1, a moment apart,
// of a front, waits for all reports, and returns their lines. Whatever the
// deliveries wait for, the front must not take the engine, which is healthy
// where healthy is nil or says so, for hung.
func ask(t *testing.T, e *Engine, home string, orders []stage.Order, healthy func() bool) []string {
	mess, err := os.OpenRoot(filepath.Join(home, "queue/mess"))
	if err != nil {
		t.Fatal(err)
	}
	defer mess.Close()
	start := func() (*spawn.Engine, error) {
		in, commands := io.Pipe()
		reports, out := io.Pipe()
		go func() {
			c := spawn.Config{Limit: len(orders), Queue: spawn.Queue{Mess: mess, Owner: uint32(os.Getuid())}, Healthy: healthy}
			out.CloseWithError(spawn.Serve(t.Context(), in, out, c, e))
		}()
		kill := func() { t.Error("the engine was taken for hung") }
		return &spawn.Engine{Commands: commands, Reports: reports, Kill: kill, End: func() {}}, nil
	}
	in, commands := io.Pipe()
	reports, out := io.Pipe()
	go func() {
		spawn.Front{Limit: len(orders), Start: start}.Run(in, out)
		out.Close()
	}()
	go func() {
		for slot, o := range orders {
			c := spawn.Command{Slot: byte(slot), MessID: "0/1", Sender: o.Sender, Recipient: o.Recipient}
			commands.Write(c.AppendTo(nil))
			time.Sleep(time.Nanosecond) // all that can happen has happened: they stand in this order
		}
		commands.Close()
	}()
	lines := make([]string, len(orders))
	r := bufio.NewReader(reports)
	r.ReadByte() // the limit
	for range orders {
		slot, err := r.ReadByte()
		if err != nil {
			t.Error(err)
			break
		}
		line, err := r.ReadString(0)
		if err != nil || lines[slot] != "" {
			t.Errorf("slot %d: %q, %v", slot, line, err)
		}
		lines[slot] = strings.TrimSuffix(line, "\x00")
	}
	if rest, err := io.ReadAll(r); len(rest) > 0 || err != nil {
		t.Errorf("left: %q, %v", rest, err)
	}
	return lines
}
