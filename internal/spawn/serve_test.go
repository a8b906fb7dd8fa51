package spawn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
)

// deliverer is a Deliverer of a function.
type deliverer func(ctx context.Context, d Delivery) []byte

func (f deliverer) Deliver(ctx context.Context, d Delivery) []byte { return f(ctx, d) }

// queue is a queue/mess with the messages 1/1 and 1/2.
func queue(t testing.TB) Queue {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1/1", "1/2"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("message "+name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	mess, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mess.Close() })
	return Queue{Mess: mess, Owner: uint32(os.Getuid())}
}

func order(slot byte, messid, recipient string) Command {
	return Command{Slot: slot, MessID: messid, Sender: "me@here", Recipient: recipient}
}

func stream(list ...Command) string {
	var b []byte
	for _, c := range list {
		b = c.AppendTo(b)
	}
	return string(b)
}

// reports reads what Serve or Front wrote: the limit, and the reports by slot.
func reports(t testing.TB, out []byte) (limit int, by map[byte][]string) {
	t.Helper()
	if len(out) == 0 {
		t.Fatal("not even a limit")
	}
	by = map[byte][]string{}
	for b := out[1:]; len(b) > 0; {
		line, rest, whole := bytes.Cut(b[1:], []byte{0})
		if !whole {
			t.Fatalf("half a report: %q", b)
		}
		by[b[0]] = append(by[b[0]], string(line))
		b = rest
	}
	return int(out[0]), by
}

// says compares all reports, each slot's in order.
func says(t testing.TB, out []byte, want map[byte][]string) {
	t.Helper()
	_, got := reports(t, out)
	for slot, lines := range want {
		if strings.Join(got[slot], "|") != strings.Join(lines, "|") {
			t.Errorf("slot %d: got %q, want %q", slot, got[slot], lines)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %q", got)
	}
}

// TestServe: what a Deliverer is given, and what becomes of what it says.
func TestServe(t *testing.T) {
	d := deliverer(func(_ context.Context, d Delivery) []byte {
		body, err := io.ReadAll(d.Message)
		if err != nil {
			t.Error(err)
		}
		switch d.Host {
		case "panics":
			panic("at the disco")
		case "exits":
			runtime.Goexit()
		case "silent":
			return nil
		case "nul":
			return []byte("Kone\x00\x05Ktwo")
		}
		return []byte("K" + strings.Join([]string{strconv.Itoa(int(d.Slot)), d.MessID, d.Sender, d.Recipient, d.Host, string(body)}, ","))
	})
	in := stream(order(0, "1/1", "a@b@c"), order(1, "1/2", "@"), order(2, "1/1", "x@panics"), order(3, "1/1", "x@silent"),
		order(4, "1/1", "x@nul"), order(5, "1/1", "x@exits"), order(6, "1/9", "a@b"), order(7, "x", "a"), order(8, "1", "a@b"), order(20, "1/1", "a@b"))
	for way, r := range map[string]io.Reader{"whole": strings.NewReader(in), "byte by byte": iotest.OneByteReader(strings.NewReader(in + "\x091/"))} {
		var out bytes.Buffer
		if err := Serve(t.Context(), r, &out, Config{Limit: 20, Queue: queue(t)}, d); err != nil {
			t.Error(way, err)
		}
		if limit, _ := reports(t, out.Bytes()); limit != 20 {
			t.Error(way, "limit", limit)
		}
		says(t, out.Bytes(), map[byte][]string{
			0:  {"K0,1/1,me@here,a@b@c,c,message 1/1\n"},
			1:  {"K1,1/2,me@here,@,,message 1/2\n"},
			2:  {"Zqmail-remote crashed.\n"},
			3:  {"Zqmail-remote produced no output.\n"},
			4:  {"Kone"},
			5:  {"Zqmail-remote crashed.\n"},
			6:  {"Zqmail-spawn unable to open message. (#4.3.0)\n"},
			7:  {"DInternal error: messid has nonnumerics. (#5.3.5)\n"},
			8:  {"ZSorry, message has wrong type. (#4.3.5)\n"},
			20: {"ZInternal error: delnum too big. (#4.3.5)\n"},
		})
	}
}

// TestMessages: nothing but a regular file of qmailq's is a message, and a name
// leads nowhere else.
func TestMessages(t *testing.T) {
	q := queue(t)
	dir := q.Mess.Name()
	for name, err := range map[string]error{
		"2": syscall.Mkfifo(filepath.Join(dir, "2"), 0o600),
		"3": os.Symlink("/etc/passwd", filepath.Join(dir, "3")),
		"4": os.Symlink("1/1", filepath.Join(dir, "4")),
	} {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	const cannot, kind = "Zqmail-spawn unable to open message. (#4.3.0)\n", "ZSorry, message has wrong type. (#4.3.5)\n"
	for _, entered := range []bool{false, true} {
		if entered {
			q.enter()
			defer q.leave()
		}
		for name, want := range map[string]string{"1/1": "", "1//2": "", "4": "", "1": kind, "1/": kind, "2": kind, "3": cannot, "1/3": cannot, "1/1/": cannot} {
			f, fault := q.open(name)
			if fault != want || (f == nil) != (fault != "") {
				t.Errorf("%s, entered %v: %q", name, entered, fault)
			}
			if f != nil {
				f.Close()
			}
		}
	}
	q.Owner++
	if _, fault := q.open("1/1"); fault != "ZSorry, message has wrong owner. (#4.3.5)\n" {
		t.Errorf("a stranger's: %q", fault)
	}
}

// TestSlotReuse: a slot under way is refused to a second command, whose refusal
// does not free it; and it is free when its report can be read.
func TestSlotReuse(t *testing.T) {
	in, commands := io.Pipe()
	fromServe, out := io.Pipe()
	release := make(chan bool)
	go func() {
		Serve(t.Context(), in, out, Config{Limit: 3, Queue: queue(t)}, deliverer(func(_ context.Context, d Delivery) []byte {
			<-release
			return []byte("K" + d.Host)
		}))
		out.Close()
	}()
	next := func() string {
		b := make([]byte, 1)
		var s []byte
		for len(s) < 2 || s[len(s)-1] != 0 {
			if _, err := io.ReadFull(fromServe, b); err != nil {
				t.Error(err)
				break
			}
			s = append(s, b[0])
		}
		return string(s)
	}
	io.ReadFull(fromServe, make([]byte, 1))
	const inUse = "\x02ZInternal error: delnum in use. (#4.3.5)\n\x00"
	for _, host := range []string{"first", "second", "third"} {
		io.WriteString(commands, stream(order(2, "1/1", "a@"+host)))
		for range 2 {
			io.WriteString(commands, stream(order(2, "1/1", "a@other")))
			if got := next(); got != inUse {
				t.Errorf("got %q", got)
			}
		}
		release <- true
		if got := next(); got != "\x02K"+host+"\x00" {
			t.Errorf("got %q", got)
		}
	}
	commands.Close()
	if rest, err := io.ReadAll(fromServe); len(rest) > 0 || err != nil {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestAllSlots: as many deliveries as a byte can number run at the same time,
// and all report after the input has ended.
func TestAllSlots(t *testing.T) {
	var list []Command
	for slot := range MaxLimit {
		list = append(list, order(byte(slot), "1/1", "a@"+strconv.Itoa(slot)))
	}
	var running atomic.Int32
	all := make(chan bool)
	var out bytes.Buffer
	err := Serve(t.Context(), strings.NewReader(stream(list...)), &out, Config{Limit: MaxLimit, Queue: queue(t)}, deliverer(func(_ context.Context, d Delivery) []byte {
		if running.Add(1) == MaxLimit {
			close(all)
		}
		<-all
		return []byte("K" + d.Host)
	}))
	limit, got := reports(t, out.Bytes())
	if err != nil || limit != MaxLimit || len(got) != MaxLimit {
		t.Errorf("%v: limit %d, %d slots", err, limit, len(got))
	}
	for slot, lines := range got {
		if len(lines) != 1 || lines[0] != "K"+strconv.Itoa(int(slot)) {
			t.Errorf("slot %d: %q", slot, lines)
		}
	}
}

// TestDeaf: when nobody reads reports, deliveries are finished all the same.
func TestDeaf(t *testing.T) {
	var done atomic.Int32
	err := Serve(t.Context(), strings.NewReader(stream(order(0, "1/1", "a@b"), order(1, "1/1", "a@b"))), failing{}, Config{Limit: 2, Queue: queue(t)},
		deliverer(func(context.Context, Delivery) []byte { done.Add(1); return []byte("K") }))
	if !errors.Is(err, io.ErrClosedPipe) || done.Load() != 2 {
		t.Errorf("%v, %d deliveries", err, done.Load())
	}
}

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }
