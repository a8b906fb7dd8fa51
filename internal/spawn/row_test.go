package spawn

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
)

// TestRow: a row is over when an order for another message has come, or no more
// can, and when all of its own are placed: also those that never reach a Deliverer.
func TestRow(t *testing.T) {
	q := queue(t)
	synctest.Test(t, func(t *testing.T) {
		place := make(chan bool)
		var mu sync.Mutex
		met := map[string]*Row{}
		in, commands := io.Pipe()
		var serving sync.WaitGroup
		serving.Go(func() {
			Serve(t.Context(), in, io.Discard, Config{Limit: 9, Queue: q}, deliverer(func(_ context.Context, d Delivery) []byte {
				mu.Lock()
				met[d.Recipient] = d.Row
				mu.Unlock()
				<-place
				d.Row.Placed()
				return []byte("K")
			}))
		})
		step := func(what string, do func(), over map[string]bool) {
			t.Helper()
			do()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			for rcpt, want := range over {
				r, is := met[rcpt], false
				select {
				case <-r.Over():
					is = true
				default:
				}
				if is != want || r.Complete() != want {
					t.Errorf("%s: the row of %s: over %v, complete %v; want %v", what, rcpt, is, r.Complete(), want)
				}
			}
		}
		orders := func(list ...Command) func() { return func() { io.WriteString(commands, stream(list...)) } }
		placed := func(n int) func() {
			return func() {
				for range n {
					place <- true
				}
			}
		}
		step("two of one message", orders(order(0, "1/1", "a@x"), order(1, "1/1", "b@x")), map[string]bool{"a@x": false, "b@x": false})
		step("both have a place", placed(2), map[string]bool{"a@x": false, "b@x": false})
		step("a third, and no recipient", orders(order(2, "1/1", "c@x"), order(3, "1/1", "nowhere")), map[string]bool{"a@x": false})
		step("another message", orders(order(4, "1/2", "d@x")), map[string]bool{"a@x": false, "c@x": false, "d@x": false})
		step("each has a place", placed(2), map[string]bool{"a@x": true, "b@x": true, "c@x": true, "d@x": false})
		step("the first message again, in a slot that is taken, and then", orders(order(9, "1/1", "z@x"), order(5, "1/1", "e@x")),
			map[string]bool{"c@x": true, "d@x": true, "e@x": false})
		step("has a place", placed(1), map[string]bool{"e@x": false})
		step("no message like that", orders(order(6, "1/9", "f@x")), map[string]bool{"e@x": true})
		step("all is said", func() { commands.Close() }, nil)
		serving.Wait()
	})
}

// TestRowLast: the last row is over with the input.
func TestRowLast(t *testing.T) {
	in, commands := io.Pipe()
	go func() {
		io.WriteString(commands, stream(order(0, "1/1", "a@x"), order(1, "1/1", "b@x")))
		commands.Close()
	}()
	Serve(t.Context(), in, io.Discard, Config{Limit: 9, Queue: queue(t)}, deliverer(func(_ context.Context, d Delivery) []byte {
		d.Row.Placed()
		<-d.Row.Over() // for ever, if nobody says that it was the last
		return []byte("K")
	}))
}

// TestNoRow: of no row nobody knows when it is over.
func TestNoRow(t *testing.T) {
	var r *Row
	r.Placed()
	if r.Over() != nil || r.Complete() {
		t.Error("it is said to be over")
	}
}
