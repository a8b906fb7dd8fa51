// Package nettest knows how to put a whole process into a network of its own, where the documentation
// addresses are local and nothing of the real network can be reached; it must not know what is run there.
//
// Tests call Main from TestMain, other programs call Reexec first thing in main. Both start the program
// again inside a fresh network namespace and never return in the outer process. Inside, lo is up and
// 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24 and 2001:db8::/32 (RFC 5737, RFC 3849) are local without
// belonging to an interface: servers may bind 192.0.2.7:25 while a program that lists its own addresses
// does not find it there.
package nettest
