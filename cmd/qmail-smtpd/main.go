// Qmail-smtpd receives mail by SMTP.
//
// # SYNOPSIS
//
//	tcpserver … 0 25 qmail-smtpd
//
// It speaks to the client on descriptors 0 and 1, offers STARTTLS where a
// UCSPI-TLS server asks it to by UCSPITLS, and gives each message to
// qmail-queue, or to the program that QMAILQUEUE names. See qmail-smtpd(8) for
// control files and environment.
//
// # RESULTS
//
// Exit code 0 after QUIT, 1 otherwise; what went wrong was said to the client.
// A crash is a death by signal.
package main

import (
	"os"
	"runtime/debug"

	"postrider/inbound"
	"postrider/inbound/smtpd"
	"postrider/internal/entry"
	"postrider/internal/home"
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	if smtpd.Serve(&inbound.Descriptors{In: 0, Out: 1}, home.Dir(), entry.Environ()) != nil {
		os.Exit(1)
	}
}
