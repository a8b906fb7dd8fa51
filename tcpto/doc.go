// Package tcpto remembers, for all deliveries of a machine, which addresses did
// not answer: queue/lock/tcpto as stock qmail keeps it (IPv4), and
// run/qmail-remote/tcpto6 in the same manner (IPv6).
//
// It knows the two file formats, their locks and their clock. It does not know
// what a connection is. No error ever leaves it: a table that cannot be read
// blocks nobody, one that cannot be written forgets.
package tcpto
