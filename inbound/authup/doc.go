// Package authup is qmail-authup: it greets a client of SMTP submission or POP3,
// offers TLS, hears a name and a password, and lets checkpassword judge them.
// When they are right the connection is no longer its own: the program behind
// checkpassword goes on with it.
//
// It knows the part of SMTP (RFC 5321, 4954, 3207) and POP3 (RFC 1939, 2449,
// 2595) that comes before authentication, and checkpassword's interface. It does
// not know users, mail, or what the program behind checkpassword does.
//
// How one session goes:
//
//	Load      reads the control files of the protocol into a Config
//	Serve     greets, and is a loop of commands: smtp.go, pop3.go
//	lines     hears the client line by line and leaves the rest in the kernel:
//	          whoever gets the connection misses nothing of it
//	decode    makes a credential of what AUTH brought: exchange.go
//	check     runs checkpassword and waits: check.go
//	judge     turns its end into a reply, a fatal one or an exit code
//
// A password is in three places, each wiped after use: the line it came in, the
// credential, and what is written for checkpassword. It is never an argument,
// never in the environment, never logged.
package authup
