// Qmail-ofmipd receives mail by SMTP from its users' mail programs, and makes
// its header and envelope whole.
//
// # SYNOPSIS
//
//	tcpserver … 0 587 qmail-authup smtp checkpassword … qmail-ofmipd [name.cdb]
//
// It speaks to the client on descriptors 0 and 1 and relays whatever it gets.
// Below qmail-authup, which sets AUTHUP_USER, its first line is the answer to
// AUTH. See qmail-ofmipd(8) for control files and environment.
//
// # RESULTS
//
// Exit code 0 after QUIT, 1 otherwise. With AUTHUP_USER it is 0 when the client
// has gone, 14 or 15 after a last reply of 4xx or 5xx, 16 after a time-out. A
// crash is a death by signal.
package main

import (
	"os"
	"runtime/debug"

	"postrider/inbound"
	"postrider/inbound/ofmipd"
	"postrider/internal/entry"
	"postrider/internal/home"
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	p := ofmipd.Program{
		Wire: &inbound.Descriptors{In: 0, Out: 1},
		Home: home.Dir(),
		Env:  entry.Environ(),
		PID:  os.Getpid(),
	}
	if len(os.Args) > 1 {
		p.Names = os.Args[1]
	}
	os.Exit(p.Serve())
}
