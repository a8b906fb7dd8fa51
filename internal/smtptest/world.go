package smtptest

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
)

// World is the servers of one dialogue while it is played.
type World struct {
	d    *Dialogue
	gone chan struct{} // closed when the delivery is over

	// Settle, where it is set, returns when the client waits for something
	// (synctest.Wait); without it the check for early talkers sees less.
	Settle func()
	turn   chan struct{} // who may call Settle

	play sync.WaitGroup

	mu         sync.Mutex // guards what is below
	next       map[string]int
	live       map[net.Conn]string
	deviations []string
}

// World sets up the servers of a dialogue.
func (d *Dialogue) World() *World {
	return &World{d: d, gone: make(chan struct{}), turn: make(chan struct{}, 1), next: map[string]int{}, live: map[net.Conn]string{}}
}

// Serve plays the next connection to addr ("192.0.2.7:25") in a goroutine of
// its own, which Finish waits for. from is where the client calls from, an
// address without port, or "".
func (w *World) Serve(addr string, conn net.Conn, from string) {
	w.mu.Lock()
	n := w.next[addr]
	w.next[addr]++
	w.live[conn] = addr
	w.mu.Unlock()
	s := w.d.Servers[addr]
	if n >= len(s.Conns) {
		w.deviate("%s: connection %d, and there is no script for it", addr, n+1)
		w.forget(conn)
		conn.Close()
		return
	}
	p := &player{world: w, where: addr, from: from, raw: conn, conn: conn, r: bufio.NewReaderSize(conn, 1<<16)}
	w.play.Go(func() {
		defer w.forget(conn)
		p.play(s.Conns[n])
	})
}

// Refuses reports whether the next connection to addr is to be refused, and
// counts it if so. A dialer asks before it connects.
func (w *World) Refuses(addr string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.d.Servers[addr]
	if s.Refuse {
		return true
	}
	n := w.next[addr]
	if n >= len(s.Conns) || len(s.Conns[n]) == 0 || s.Conns[n][0].verb != "!refuse" {
		return false
	}
	w.next[addr]++
	return true
}

// Finish waits for all connections to end and returns what went otherwise than
// written, sorted; nothing if all went well. The client is done by now.
func (w *World) Finish() []string {
	close(w.gone)
	w.closeForgotten()
	w.play.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for addr, s := range w.d.Servers {
		if n := w.next[addr]; n < len(s.Conns) && !s.Optional {
			w.deviations = append(w.deviations, fmt.Sprintf("%s: connection %d of %d did not come", addr, n+1, len(s.Conns)))
		}
	}
	slices.Sort(w.deviations)
	return w.deviations
}

func (w *World) forget(conn net.Conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.live, conn)
}

// closeForgotten closes what the client has left open. Only where Settle is set
// can it be known that nothing is under way any more; elsewhere the client is a
// process, whose end closes everything.
func (w *World) closeForgotten() {
	if w.Settle == nil {
		return
	}
	w.turn <- struct{}{}
	w.Settle()
	w.mu.Lock()
	defer w.mu.Unlock()
	for conn, addr := range w.live {
		if s, ok := conn.(*serverEnd); !ok || s.closed.Load() {
			continue
		}
		w.deviations = append(w.deviations, addr+": the client left the connection open")
		conn.Close()
	}
}

// settle waits for the client to have done what it can, unless all is over.
func (w *World) settle() {
	if w.Settle == nil {
		return
	}
	select {
	case <-w.gone:
		return
	case w.turn <- struct{}{}:
	}
	w.Settle()
	<-w.turn
}

func (w *World) optional(addr string) bool { return w.d.Servers[addr].Optional }

func (w *World) deviate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deviations = append(w.deviations, fmt.Sprintf(format, args...))
}
