package main

import "postrider/internal/spawn"

// thread starts engines on the thread of the goroutine that serves it: see
// spawn.StartEngine. That goroutine does nothing else, as whatever runs on a
// thread of its own pays for it with a switch of threads each time it waits.
type thread struct {
	path   string
	args   []string
	orders chan chan<- started
}

type started struct {
	engine *spawn.Engine
	err    error
}

func newThread(path string, args ...string) *thread {
	return &thread{path: path, args: args, orders: make(chan chan<- started)}
}

// start has an engine started.
func (t *thread) start() (*spawn.Engine, error) {
	reply := make(chan started)
	t.orders <- reply
	s := <-reply
	return s.engine, s.err
}

// serve starts what start asks for, until done is closed.
func (t *thread) serve(done <-chan struct{}) {
	for {
		select {
		case reply := <-t.orders:
			e, err := spawn.StartEngine(t.path, t.args)
			reply <- started{e, err}
		case <-done:
			return
		}
	}
}
