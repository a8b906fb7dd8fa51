// Package control reads qmail's control files, once, into a Snapshot.
//
// It knows their names, their syntax (qmail-control(5)) and their defaults. It
// does not know who uses them. A missing file is a default; a file that is
// there and cannot be read, or says nonsense where a number is needed, is an
// error that names the file and the line, and the delivery is deferred.
package control
