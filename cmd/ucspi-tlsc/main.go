// Ucspi-tlsc is a UCSPI chain-loader: it does TLS, as a client, on the
// connection it is given on descriptors 6 and 7, and runs a program that reads
// and writes cleartext there.
//
// # SYNOPSIS
//
//	tcpclient host port ucspi-tlsc [options] prog …
//	tcpclient host port ucspi-tlsc -d [options] prog …
//
// Without -d the handshake comes first, and prog is started when it has
// succeeded. With -d prog starts in clear and asks for TLS by UCSPI-TLS. See
// ucspi-tlsc(8) for options, environment and exit codes.
package main

import (
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"postrider/internal/entry"
)

// Exit codes, as those of s6-tlsc; other codes are the program's own.
const (
	exitConfig = 96  // keys or trust anchors cannot be used
	exitTLS    = 98  // no session with the peer
	exitUsage  = 100 // called improperly
	exitSystem = 111 // the system failed us: no descriptors, no processes, no program
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	entry.Room()
	os.Exit(run(os.Args, entry.Environ()))
}

func run(args, env []string) int {
	o, ok := parseOptions(args)
	if !ok {
		complain("usage: ucspi-tlsc [-d] [-SsJjYyZz] [-v level] [-K ms] [-k servername] [-6 fd] [-7 fd] [-p fd] [--no-verify-cert] prog …")
		return exitUsage
	}
	t, code := prepare(o, env)
	switch {
	case code != 0:
		return code
	case o.delayed:
		return t.delayed(env)
	}
	return t.atOnce(env)
}

// complain writes one line for people to descriptor 2. What it says may hold
// names that the peer chose.
func complain(what string) {
	line := make([]byte, 0, len(what)+16)
	line = append(line, "ucspi-tlsc: "...)
	for _, r := range strings.ToValidUTF8(what, "?") {
		if r < ' ' || r == 0x7f {
			r = '?'
		}
		line = append(line, string(r)...)
	}
	syscall.Write(2, append(line, '\n'))
}
