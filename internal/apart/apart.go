// Package apart runs what needs much of a stack on one of its own.
//
// A goroutine's stack grows to what its deepest calls need, and keeps that as long
// as it lives, twice what it uses, rounded up. Deliveries wait for minutes, by the
// thousand, some calls below the place where they once were forty calls deep.
//
// It knows nothing of what it runs.
package apart

// Run runs do on another goroutine and waits for it. It costs about a microsecond.
// A panic of do's is Run's own.
func Run(do func()) {
	done := make(chan any) // nil, or what do panicked with
	go func() {
		room(0)
		defer func() { done <- recover() }()
		do()
	}()
	if crash := <-done; crash != nil {
		panic(crash)
	}
}

// room makes the stack at once as large as do will need. The runtime cuts stacks
// of one size from the same pieces of memory, and gives a piece back when all in
// it are dead: were these as large as those of the deliveries that come to wait,
// these would keep the place of those that are gone.
//
//go:noinline
func room(i int) byte {
	var deep [9 << 10]byte
	return deep[i]
}
