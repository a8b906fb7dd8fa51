// Ucspi-tlsd is a UCSPI chain-loader: it does TLS, as a server, on the
// connection it is given on descriptors 0 and 1, for a program that reads and
// writes cleartext.
//
// # SYNOPSIS
//
//	tcpserver host port ucspi-tlsd [options] prog …
//	tcpserver host port ucspi-tlsd -t [options] prog …
//
// Without -t prog starts in clear and may ask for TLS by UCSPI-TLS. With -t the
// handshake comes first. See ucspi-tlsd(8) for options, environment and exit
// codes.
//
// Prog runs in the process that the server has started, so that the server's
// process id is prog's. TLS is another process's business, ucspi-tlsd-io's,
// which is found beside this program; here is no cryptography, for every
// connection pays for this start, and most never ask for TLS.
package main

import (
	"os"
	"runtime/debug"
	"syscall"

	"postrider/inbound"
	"postrider/inbound/tlsd/options"
	"postrider/internal/entry"
	"postrider/internal/fdconn"
)

// Exit codes; others are the program's own, or with -t the TLS process's.
const (
	exitUsage  = 100 // called improperly
	exitSystem = 111 // the system failed us: no descriptors, no processes, no program
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	os.Exit(run(os.Args, entry.Environ()))
}

// run returns only where prog does not run.
func run(args []string, env inbound.Env) int {
	if len(args) == 0 {
		return exitUsage
	}
	o, prog, ok := options.Parse(args[1:])
	if !ok || len(prog) == 0 {
		complain("usage: ucspi-tlsd [-tSsJjYyZz] [-v level] [-K ms] [-k snilevel] prog …")
		return exitUsage
	}
	l := launch{options: o, env: env}
	offer, err := l.start()
	if err != nil {
		complain(err.Error())
		return exitSystem
	}
	env = clean(env, o.KeepEnv)
	if o.AtOnce {
		records, code := l.secure(offer)
		if code != 0 {
			return code
		}
		env.Apply(records)
		env.Unset("UCSPITLS") // a promise of TLS that is kept already, or a demand that would never be met
	} else {
		env.Apply(offer.variables())
	}
	err = syscall.Exec(fdconn.Find(prog[0], env.Get("PATH")), prog, env)
	complain("unable to run " + prog[0] + ": " + err.Error())
	return exitSystem
}

// complain writes one line for people to descriptor 2.
func complain(what string) {
	_ = fdconn.WriteAll(2, []byte("ucspi-tlsd: "+what+"\n"))
}
