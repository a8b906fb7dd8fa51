// Package proctest is for tests of built programs: it builds them as make does,
// runs them with chosen descriptors, which may be those of a UCSPI server or of a
// UCSPI-TLS helper, kills one at its nth system call, and knows when the last
// process of a run is gone.
//
// It knows processes. It does not know mail. Production code never imports it.
package proctest
