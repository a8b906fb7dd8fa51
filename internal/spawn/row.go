package spawn

import "sync/atomic"

// Row is orders for one message, in a row. Qmail-send's pass over a message gives
// all its remote recipients before the next message's begins, so that with the next
// message's first order, or the end of all, a row is complete. Should another give
// them otherwise, fewer share a transaction, and nothing else.
//
// A nil Row is one of which nobody knows anything.
type Row struct {
	missing atomic.Int32  // orders that have no place yet, and 1 until the row ends
	over    chan struct{} // closed when nothing is missing
}

// Placed says that one of the orders has found its place among the others, or has
// none. A Deliverer that asks for Over says it once for each.
func (r *Row) Placed() {
	if r != nil && r.missing.Add(-1) == 0 {
		close(r.over)
	}
}

// Over is closed when each order of the row is Placed, and there will be no more.
func (r *Row) Over() <-chan struct{} {
	if r == nil {
		return nil
	}
	return r.over
}

// Complete is whether Over is closed. It takes no lock.
func (r *Row) Complete() bool { return r != nil && r.missing.Load() == 0 }

// rows are the rows that orders come in.
type rows struct {
	messID string // of last
	last   *Row   // nil before the first
}

// add gives the row of an order.
func (r *rows) add(messID string) *Row {
	if r.last == nil || r.messID != messID {
		r.end()
		r.messID, r.last = messID, &Row{over: make(chan struct{})}
		r.last.missing.Store(1)
	}
	r.last.missing.Add(1)
	return r.last
}

// end says that no more come.
func (r *rows) end() { r.last.Placed() }
