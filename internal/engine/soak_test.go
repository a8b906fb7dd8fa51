package engine

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"postrider/internal/sendtest"
	"postrider/internal/spawn"
)

var soak = flag.Bool("soak", false, "deliver as much as make soak asks for")

// TestSoak: tens of thousands of deliveries, ordered as qmail-send does, to
// servers of whose answers one in a hundred is not what it should be. The ledger
// is exact, and what the process holds in the end is what it held after a tenth.
func TestSoak(t *testing.T) {
	deliveries, ill := 3000, 20
	if *soak {
		deliveries, ill = 50000, 10
	}
	w := newWorld(t)
	s := w.unwell(40, ill)
	tally := map[string]int{}
	round := func(from, to int) holdings {
		lines := w.orderAll(from, to)
		w.engine.pool.flush()
		w.engine.pool.parting.Wait()
		for limit := time.Now().Add(time.Minute); s.Counts().Open > 0 && time.Now().Before(limit); { // those that stall
			time.Sleep(time.Millisecond)
		}
		for i, line := range lines {
			tally[kind(line)]++
			if wrong := s.Lie(line, messID(from+i), recipient(from+i)); wrong != "" {
				t.Error(wrong)
			}
		}
		return held(t)
	}
	before := round(0, deliveries/10)
	after := round(deliveries/10, deliveries)
	t.Logf("%+v, before %+v", after, before)
	if after.goroutines > before.goroutines || after.descriptors > before.descriptors {
		t.Errorf("%+v, before %+v", after, before)
	}
	// The ledger, which is the test's, takes some 150 bytes a delivery.
	if grown := after.bytes - before.bytes; grown > 8<<20+200*deliveries {
		t.Errorf("the heap has grown by %d bytes", grown)
	}
	if tally["K"] < deliveries/2 {
		t.Errorf("only %d of %d arrived", tally["K"], deliveries)
	}
	w.engine.Close()
	s.Close()
	wellKept(t, s, tally)
	if *soak {
		everyMood(t, s)
	}
}

func messID(i int) string    { return fmt.Sprintf("%d/%d", i/5%23, i/5) }
func recipient(i int) string { return fmt.Sprintf("r%d@d%d.example", i, i/5%40) }

// orderAll orders deliveries through a front and an engine's Serve of their own,
// and gives their reports.
func (w *world) orderAll(from, to int) []string {
	t := w.t
	for i := from; i < to; i += 5 {
		file := filepath.Join(w.home, "queue/mess", messID(i))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("Subject: "+messID(i)+"\n\nbody\n.\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	mess, err := os.OpenRoot(filepath.Join(w.home, "queue/mess"))
	if err != nil {
		t.Fatal(err)
	}
	defer mess.Close()
	var serving sync.WaitGroup
	start := func() (*spawn.Engine, error) {
		in, commands := pipe(t)
		reports, out := pipe(t)
		serving.Go(func() {
			c := spawn.Config{Limit: 200, Queue: spawn.Queue{Mess: mess, Owner: uint32(os.Getuid())}, Healthy: w.engine.Healthy}
			if err := spawn.Serve(t.Context(), in, out, c, w.engine); err != nil {
				t.Error(err)
			}
			in.Close()
			out.Close()
		})
		kill := func() { t.Error("the engine was taken for hung") }
		return &spawn.Engine{Commands: commands, Reports: reports, Kill: kill, End: func() { reports.Close() }}, nil
	}
	in, commands := pipe(t)
	reports, out := pipe(t)
	serving.Go(func() {
		spawn.Front{Limit: 200, Start: start}.Run(in, out)
		in.Close()
		out.Close()
	})
	send, err := sendtest.New(commands, reports)
	if err != nil {
		t.Fatal(err)
	}
	lines := make([]string, to-from)
	for i := range lines {
		if err := send.Order(messID(from+i), "me@engine.example", recipient(from+i), func(line string) { lines[i] = line }); err != nil {
			t.Fatal(err)
		}
	}
	if err := send.End(); err != nil {
		t.Fatal(err)
	}
	serving.Wait()
	reports.Close()
	return lines
}

func pipe(t *testing.T) (*os.File, *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	return r, w
}

// holdings are what a process can lose.
type holdings struct{ goroutines, descriptors, bytes int }

// held looks until nothing gets less any more: what has ended may take a moment
// to be gone.
func held(t *testing.T) (h holdings) {
	t.Helper()
	for range 100 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		now := holdings{runtime.NumGoroutine(), len(fds), int(m.HeapAlloc)}
		if h.goroutines > 0 {
			now = holdings{min(h.goroutines, now.goroutines), min(h.descriptors, now.descriptors), min(h.bytes, now.bytes)}
		}
		h = now
		time.Sleep(time.Millisecond)
	}
	return h
}
