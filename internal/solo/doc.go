// Package solo makes connections for a process that does one thing at a time:
// qmail-remote, which lives for one delivery.
//
// Package net is made for thousands of connections: its first one starts an
// event queue, probes what the kernel's IP stack can do, and every wait goes
// through the scheduler. One delivery waits for one peer, and poll(2) does that
// for a fraction of the cost. What needs two goroutines (a long message, whose
// replies are read beside it) is given over to package net: see Conn.Shared.
//
// It knows sockets and deadlines, and nothing of what is said over them.
package solo
