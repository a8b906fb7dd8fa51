// Package spawn is qmail-rspawn without SMTP: the commands of qmail-send, the
// slots, the opening of messages, and the reports (qmail-rspawn(8), spawn's
// side of qmail-send(8)). What a delivery is, a Deliverer knows.
//
// It is made of two parts that may run in two processes and speak the same
// protocol on both sides:
//
//	qmail-send ⇄ Front ⇄ Serve ⇄ Deliverer
//
// Serve runs deliveries; whatever happens in one of them, a panic included, is
// that delivery's alone, except what ends a process: a map race, a stack
// overflow, the lack of memory. Front stands before it because qmail-send stops
// all mail when its qmail-rspawn dies. Front only moves commands and reports,
// and remembers which slots are open.
//
// It does not know SMTP, DNS or control files.
package spawn
