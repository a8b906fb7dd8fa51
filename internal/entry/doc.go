// Package entry holds the first instructions of qmail-remote and its helpers,
// which run before the Go runtime does.
//
// Why there are any: when the runtime cannot start, because of a low ulimit,
// say, it exits with status 2, and qmail-rspawn takes that for a permanent
// failure and bounces the mail. The same is true of a crash in an init function,
// before main can ask for death by signal. So the program begins at
// postrider_start, which
//
//   - tries to reserve as much address space and data as the runtime will want,
//     and if that fails reports "ZOut of memory. (#4.3.0)" and exits 0;
//   - puts GOTRACEBACK=crash into the environment, so that from the runtime's
//     first steps on every crash is a death by signal, which is deferred;
//   - puts GOMAXPROCS=1 there, before the runtime starts threads for processors
//     that one delivery does not need (a quarter of its whole cost);
//   - asks the kernel to wake sleepers up to four milliseconds late (prctl(2),
//     PR_SET_TIMERSLACK), which spares the runtime's monitor a hundred wake-ups
//     in a delivery (a seventh of its cost, a fifth under TLS); helpers inherit it;
//   - allows no descriptor above 2, until Lift, so that the runtime does not read
//     /proc/self/mountinfo and others to count processors that GOMAXPROCS=1 makes
//     no matter (a twentieth of a delivery's cost);
//   - goes on to the runtime's own entry point.
//
// A program that reports to no qmail begins at postrider_helper, which complains on
// descriptor 2 and exits with 111 where the other reports.
//
// It is in force when the linker is told -E postrider_start, as the Makefile
// does on linux/amd64 and linux/arm64; a plain `go build` is a program without
// it. The package is empty on other systems.
package entry

import (
	"os"
	"slices"
	"syscall"
)

// soft is the soft limit of descriptors that the first instructions found and
// lowered; 0 when they did not.
var soft uint64

// Lift allows as many descriptors again as before, here and in programs that are
// started from here. It must be the first thing that main does. It has no error:
// what cannot be opened will tell.
func Lift() {
	var limit syscall.Rlimit
	if soft != 0 && syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = soft
		syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

// Room makes the stack of main as large as a delivery or a handshake needs while
// there is little on it: it would else be copied three times on the way, each time
// a deeper one.
//
//go:noinline
func Room() byte {
	var deep [20 << 10]byte
	return deep[len(os.Args)&1]
}

// Environ is os.Environ without what the first instructions put there: for
// programs that are none of ours.
func Environ() []string {
	env := os.Environ()
	if soft != 0 { // they were there
		env = slices.DeleteFunc(env, func(v string) bool { return v == "GOTRACEBACK=crash" || v == "GOMAXPROCS=1" })
	}
	return env
}
