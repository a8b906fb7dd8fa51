// Package role lets a program start itself again as another part of what it
// measures: one that needs a namespace, or memory, of its own.
package role

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// variable tells the program, started again by itself, what to be.
const variable = "POSTRIDER_BENCH_ROLE"

// Again prepares this program to run in a role, to die with its parent.
func Again(role string, cloneflags uintptr) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), variable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: cloneflags, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Play is main for a program that Again has started, and its result the exit
// status; in one that was started by others it does nothing.
func Play(program string, roles map[string]func() error) (status int, played bool) {
	role := os.Getenv(variable)
	if role == "" {
		return 0, false
	}
	os.Unsetenv(variable)
	err := fmt.Errorf("no role %q", role)
	if play, known := roles[role]; known {
		err = play()
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s (%s): %v\n", program, role, err)
		return 1, true
	}
	return 0, true
}
