// Package engine is the asynchronous deliverer of qmail-rspawn: all deliveries
// in one process, which share transactions, connections, look-ups and what is
// known of destinations.
//
//	spawn.Delivery ─remote.Plan→ Plan ─gather→ a group, whose first member leads
//	leader ─fair.Enter→ Pass ─remote.Carry→ Outcome ─For(i)→ each member's line
//
// A group is the deliveries of one message from one sender to the same hosts
// that are open at once; it is one transaction. Conversations that end in step
// wait in the pool for the next message to the same place. Control files are
// looked at before each delivery; a delivery keeps the snapshot that it began
// with.
//
// It knows the order of these things, and none of their contents: SMTP, DNS,
// TLS, frames and the policy of fairness stand in their own rooms.
package engine
