// Checknotroot runs a program, but not as root. It stands behind checkpassword,
// where it turns an account that must not read mail, or a checkpassword that has
// not changed its user, into a wrong password.
//
// # SYNOPSIS
//
//	checknotroot prog ...
//
// # RESULTS
//
// The exit code is prog's. Where it is not run it is 1, with a line on standard
// error, and nothing on standard output, which is the client's.
//
// # SEE ALSO
//
// qmail-authup(8)
package main

import (
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"postrider/internal/entry"
)

func main() {
	entry.Lift()
	debug.SetTraceback("crash")
	os.Exit(run(os.Args, entry.Environ(), syscall.Getuid(), syscall.Exec))
}

// run returns only where prog is not run. The real user id counts.
func run(args, env []string, uid int, exec func(string, []string, []string) error) int {
	switch {
	case len(args) < 2:
		complain("usage: checknotroot prog")
	case uid == 0:
		complain("WAS RUNNING AS ROOT, TERMINATING")
	default:
		err := search(args[1:], env, exec)
		complain("unable to run " + args[1] + ": " + err.Error())
	}
	return 1
}

// search runs prog as execvp(3) does, from PATH where its name has no slash.
func search(prog, env []string, exec func(string, []string, []string) error) error {
	if strings.Contains(prog[0], "/") {
		return exec(prog[0], prog, env)
	}
	path := "/bin:/usr/bin"
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok && value != "" {
			path = value
			break
		}
	}
	worst := error(syscall.ENOENT)
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "."
		}
		switch err := exec(dir+"/"+prog[0], prog, env); err {
		case syscall.ENOENT, syscall.ENOTDIR:
		case syscall.EACCES:
			worst = err // there may be another one further on
		default:
			return err
		}
	}
	return worst
}

// complain writes one line to descriptor 2. Nobody there is no matter: our exit
// code must remain what it is.
func complain(what string) {
	syscall.Write(2, []byte("checknotroot: "+what+"\n"))
}
