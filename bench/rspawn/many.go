package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"

	"postrider/internal/engine"
	"postrider/internal/spawn"
)

// manyOrder is what the engine of many slots is to do.
type manyOrder struct {
	Home string
	N    int // deliveries, each to a destination of its own
}

// inside is what the runtime says of memory, in bytes.
type inside struct{ Objects, Unused, Stacks, Free, Other uint64 }

func (i inside) String() string {
	kb := func(n uint64) uint64 { return n >> 10 }
	return fmt.Sprintf("%d objects, %d gaps between them, %d stacks, %d free, %d of the runtime's own", kb(i.Objects), kb(i.Unused), kb(i.Stacks), kb(i.Free), kb(i.Other))
}

func look() inside {
	names := []string{"/memory/classes/heap/objects:bytes", "/memory/classes/heap/unused:bytes", "/memory/classes/heap/stacks:bytes",
		"/memory/classes/heap/free:bytes", "/memory/classes/total:bytes", "/memory/classes/heap/released:bytes"}
	s := make([]metrics.Sample, len(names))
	for i, name := range names {
		s[i].Name = name
	}
	metrics.Read(s)
	v := func(i int) uint64 { return s[i].Value.Uint64() }
	return inside{v(0), v(1), v(2), v(3), v(4) - v(0) - v(1) - v(2) - v(3) - v(5)}
}

// manyEngine is main for that role. It is told to begin, to deliver all, and to
// tell what is inside, and answers each but the second, and when all is done.
func manyEngine() error {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	var m manyOrder
	if err := in.Decode(&m); err != nil {
		return err
	}
	debug.SetGCPercent(200) // as cmd/qmail-rspawn
	e := engine.New(m.Home, m.N)
	e.Tidy(debug.FreeOSMemory)
	defer e.Close()
	if err := m.deliver(e, m.N); err != nil {
		return err
	}
	if err := errors.Join(out.Encode(look()), in.Decode(&m)); err != nil {
		return err
	}
	var all sync.WaitGroup
	failed := make(chan error, m.N)
	for i := range m.N {
		all.Go(func() {
			if err := m.deliver(e, i); err != nil {
				failed <- err
			}
		})
	}
	if err := errors.Join(in.Decode(&m), out.Encode(look())); err != nil {
		return err
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	return out.Encode(look())
}

// deliver delivers message number 1 to destination number i.
func (m *manyOrder) deliver(e *engine.Engine, i int) error {
	f, err := os.Open(filepath.Join(m.Home, "queue/mess/0/1"))
	if err != nil {
		return err
	}
	defer f.Close()
	host := fmt.Sprintf("d%d.example", i%m.N)
	line := e.Deliver(context.Background(), spawn.Delivery{MessID: strconv.Itoa(i), Sender: "me@bench.example", Recipient: "r@" + host, Host: host, Message: f})
	if !strings.HasPrefix(string(line), "K") {
		return fmt.Errorf("not accepted: %s", line)
	}
	return nil
}
