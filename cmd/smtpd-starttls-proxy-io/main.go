// Smtpd-starttls-proxy-io gives STARTTLS to an SMTP server that has none.
//
// # SYNOPSIS
//
//	ucspi-tlsd smtpd-starttls-proxy-io smtpd [args …]
//
// It becomes smtpd, on two pipes, and leaves a child between these and the
// network, which proxies until TLS has begun or the client does without. See
// smtpd-starttls-proxy-io(8).
package main

import (
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/inbound"
	"postrider/inbound/proxy"
	"postrider/internal/entry"
	"postrider/internal/fdconn"
)

// Exit codes of the parent; when it has become smtpd they are smtpd's.
const (
	exitUsage  = 100
	exitSystem = 111
)

// child is the name by which we start ourselves as the proxy. Its arguments are
// two pipes: what smtpd reads, what it writes.
const child = "smtpd-starttls-proxy-io: proxy"

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	os.Exit(run(os.Args, entry.Environ()))
}

func run(args []string, env inbound.Env) int {
	fds, ok := offered(env)
	if len(args) < 2 || !ok {
		complain("smtpd-starttls-proxy-io: usage: smtpd-starttls-proxy-io smtpd [args ...], with SSLCTLFD, SSLREADFD and SSLWRITEFD")
		return exitUsage
	}
	ours := env
	_, said := env.Lookup("UCSPITLS")
	_, disabled := env.Lookup("DISABLETLS")
	level := inbound.TakeLevel(&env)
	if args[0] == child {
		return serve(args[1:], fds, level == inbound.Required)
	}
	for _, name := range []string{"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"} {
		env.Unset(name)
	}
	// Without UCSPITLS there is TLS all the same: who starts us wants it.
	if level != inbound.Unavailable || !said && !disabled {
		if err := split(fds, ours); err != nil {
			return trouble("start a proxy", err)
		}
	}
	return trouble("run "+args[1], syscall.Exec(fdconn.Find(args[1], env.Get("PATH")), args[1:], env))
}

// offered finds the descriptors of the UCSPI-TLS helper. Unlike in
// fdconn.Offered they may be 0.
func offered(env inbound.Env) (fds fdconn.TLSFDs, ok bool) {
	ok = true
	number := func(name string) int {
		n, err := strconv.ParseUint(env.Get(name), 10, 31)
		ok = ok && err == nil
		return int(n)
	}
	return fdconn.TLSFDs{Ctl: number("SSLCTLFD"), Read: number("SSLREADFD"), Write: number("SSLWRITEFD")}, ok
}

// split starts the proxy, which gets the network and the descriptors for TLS, and
// puts pipes to it on 0 and 1.
func split(fds fdconn.TLSFDs, env inbound.Env) error {
	var down, up [2]int
	if err := unix.Pipe2(down[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if err := unix.Pipe2(up[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	in, out := down[1], up[0]
	files := fdconn.Inherited(max(in, out) + 1)
	files[in], files[out] = in, out
	self := fdconn.Child{Path: "/proc/self/exe", Args: []string{child, strconv.Itoa(in), strconv.Itoa(out)}, Env: env, Files: files}
	if _, err := self.Start(); err != nil {
		return err
	}
	if err := unix.Dup3(down[0], 0, 0); err != nil {
		return err
	}
	if err := unix.Dup3(up[1], 1, 0); err != nil {
		return err
	}
	for _, fd := range []int{fds.Ctl, fds.Read, fds.Write} {
		if fd > 2 {
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

// serve is the proxy. It keeps SSLCTLFD for as long as it lives: sslserver -n
// takes its end for that of the session, in clear or not.
func serve(pipes []string, fds fdconn.TLSFDs, required bool) int {
	if len(pipes) != 2 {
		return exitUsage
	}
	in, err := strconv.Atoi(pipes[0])
	if err != nil {
		return exitUsage
	}
	out, err := strconv.Atoi(pipes[1])
	if err != nil {
		return exitUsage
	}
	s := proxy.Session{
		Client:   inbound.Descriptors{In: 0, Out: 1},
		Helper:   inbound.Helper{FDs: fds},
		In:       in,
		Out:      out,
		Required: required,
		Log:      complain,
	}
	return s.Run()
}

func trouble(what string, err error) int {
	complain("smtpd-starttls-proxy-io: unable to " + what + ": " + err.Error())
	return exitSystem
}

// complain writes one line to the log.
func complain(what string) {
	syscall.Write(2, []byte(strings.ReplaceAll(what, "\n", "?")+"\n"))
}
