// A program that says what it began with.
package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"

	"postrider/internal/entry"
)

func main() {
	entry.Lift()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		panic(err)
	}
	child, err := exec.Command("/bin/sh", "-c", "ulimit -Sn").Output()
	slack, _ := os.ReadFile("/proc/self/timerslack_ns")
	var env []string
	for _, v := range entry.Environ() {
		if strings.HasPrefix(v, "GOMAXPROCS=") || strings.HasPrefix(v, "GOTRACEBACK=") || strings.HasPrefix(v, "ENTRY=") {
			env = append(env, v)
		}
	}
	fmt.Printf("args %v env %s procs %d traceback %s mine %s soft %d child %s%v environ %v slack %s", os.Args[1:], os.Getenv("ENTRY"),
		runtime.GOMAXPROCS(0), os.Getenv("GOTRACEBACK"), os.Getenv("GOMAXPROCS"), limit.Cur, child, err, env, slack)
}
