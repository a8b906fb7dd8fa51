package authtest

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// server greets with its first argument and repeats what it hears, but for
//
//	FACTS     facts
//	ENV name  the value of name, quoted, or "unset"
//	EXIT n    ends with that code
//
// It ends with 0 where the client does.
func server() int {
	say := func(line string) { os.Stdout.WriteString(line + "\r\n") }
	if len(os.Args) > 1 {
		say(os.Args[1])
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		verb, arg, _ := strings.Cut(in.Text(), " ")
		switch verb {
		case "FACTS":
			say(facts())
		case "ENV":
			value, set := os.LookupEnv(arg)
			if value = strconv.Quote(value); !set {
				value = "unset"
			}
			say(value)
		case "EXIT":
			n, _ := strconv.Atoi(arg)
			return n
		default:
			say("heard " + in.Text())
		}
	}
	return 0
}

// facts says what this process was given: "fds=0,1,2 uid=0 cwd=/ user=joe". A
// descriptor that does not block has a "!", which servers of old do not expect.
func facts() string {
	var fds []string
	for fd := range 256 {
		flags, _, e := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFD, 0)
		if e == 0 && flags&syscall.FD_CLOEXEC == 0 { // the others are Go's
			mode, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_GETFL, 0)
			fds = append(fds, strconv.Itoa(fd)+strings.Repeat("!", int(mode&syscall.O_NONBLOCK)/syscall.O_NONBLOCK))
		}
	}
	cwd, _ := os.Getwd()
	return "fds=" + strings.Join(fds, ",") + " uid=" + strconv.Itoa(os.Getuid()) + " cwd=" + cwd + " user=" + os.Getenv("AUTHUP_USER")
}
