package proctest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Command is a program to be run.
type Command struct {
	Path  string
	Args  []string // the program's name first
	Env   []string
	Dir   string     // where it runs, if not here
	Files []*os.File // its descriptors from 0 on; nil is closed
}

// Traced is what became of a Command.
type Traced struct {
	Status syscall.WaitStatus // the program's own, whoever was killed
	Calls  int                // the victim's system calls that were counted
	Killed bool
}

// KillAt runs c and kills the process in it whose program is called victim by
// SIGKILL when it is about to make its nth system call, from 1; that call is not
// made. Calls are counted from when the program was exec'd, in all its threads.
// KillAt returns when every process of c has ended.
func (c Command) KillAt(victim string, n int) (Traced, error) {
	// ptrace(2) belongs to a thread: this one starts the program and waits for it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := c.start(true)
	if err != nil {
		return Traced{}, err
	}
	t := tracer{victim: victim, at: n, main: pid, of: map[int]int{}}
	if err = t.first(); err == nil {
		err = t.run()
	}
	return t.Traced, err
}

// Run runs c and waits for the program.
func (c Command) Run() (syscall.WaitStatus, error) {
	pid, err := c.start(false)
	if err != nil {
		return 0, err
	}
	var ws syscall.WaitStatus
	for {
		if _, err = syscall.Wait4(pid, &ws, 0, nil); err != syscall.EINTR {
			return ws, err
		}
	}
}

func (c Command) start(traced bool) (pid int, err error) {
	files := make([]uintptr, len(c.Files))
	for i, f := range c.Files {
		files[i] = ^uintptr(0)
		if f != nil {
			files[i] = f.Fd()
		}
	}
	attr := &syscall.ProcAttr{Dir: c.Dir, Env: c.Env, Files: files, Sys: &syscall.SysProcAttr{Ptrace: traced}}
	if pid, err = syscall.ForkExec(c.Path, c.Args, attr); err != nil {
		return 0, fmt.Errorf("run %s (traced: %t): %w", c.Path, traced, err)
	}
	return pid, nil
}

// tracer is one run. It belongs to its thread.
type tracer struct {
	Traced
	victim string
	at     int
	main   int
	chosen int         // process id of the victim; 0: not yet there
	of     map[int]int // thread → process, of those seen
}

// everybody has threads and children traced from their first instruction, and
// ends them all if we end.
const everybody = unix.PTRACE_O_TRACESYSGOOD | unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACECLONE |
	unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK | unix.PTRACE_O_TRACEEXEC

// first takes the program over at the end of its exec.
func (t *tracer) first() error {
	var ws syscall.WaitStatus
	if _, err := wait(t.main, &ws); err != nil {
		return err
	}
	if err := syscall.PtraceSetOptions(t.main, everybody); err != nil {
		return fmt.Errorf("ptrace: %w", err)
	}
	t.of[t.main] = t.main
	t.exec(t.main)
	return t.resume(t.main, 0)
}

// run goes on until nobody is left.
func (t *tracer) run() error {
	for {
		var ws syscall.WaitStatus
		tid, err := wait(-1, &ws)
		switch {
		case err == syscall.ECHILD:
			return nil
		case err != nil:
			return err
		case ws.Stopped():
			err = t.stopped(tid, ws)
		case tid == t.main:
			t.Status = ws
		}
		if err != nil {
			return err
		}
	}
}

// wait sees our own thread's children alone, and those it traces.
func wait(pid int, ws *syscall.WaitStatus) (int, error) {
	for {
		got, err := syscall.Wait4(pid, ws, unix.WALL|unix.WNOTHREAD, nil)
		if err != syscall.EINTR {
			return got, err
		}
	}
}

func (t *tracer) stopped(tid int, ws syscall.WaitStatus) error {
	pid, seen := t.of[tid]
	if !seen {
		pid = process(tid)
		t.of[tid] = pid
	}
	signal := int(ws.StopSignal())
	switch {
	case signal == int(syscall.SIGTRAP)|0x80:
		if pid == t.chosen && entering(tid) {
			t.Calls++
			if t.Calls == t.at {
				t.Killed = true
				syscall.Kill(pid, syscall.SIGKILL)
			}
		}
		signal = 0
	case ws.TrapCause() > 0:
		if ws.TrapCause() == unix.PTRACE_EVENT_EXEC {
			t.exec(tid)
		}
		signal = 0
	case !seen: // a new one begins with SIGSTOP
		signal = 0
	}
	return t.resume(tid, signal)
}

// exec looks whether the victim has come.
func (t *tracer) exec(pid int) {
	exe, _ := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	if t.chosen == 0 && filepath.Base(exe) == t.victim {
		t.chosen = pid
	}
}

// resume lets a thread go on; the victim's to the next system call. Who has been
// killed meanwhile cannot go on, which is no error.
func (t *tracer) resume(tid, signal int) error {
	var err error
	if t.of[tid] == t.chosen {
		err = syscall.PtraceSyscall(tid, signal)
	} else {
		err = syscall.PtraceCont(tid, signal)
	}
	if err != nil && err != syscall.ESRCH {
		return fmt.Errorf("ptrace: %w", err)
	}
	return nil
}

// process is whom a thread belongs to.
func process(tid int) int {
	b, _ := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/status")
	_, rest, _ := strings.Cut(string(b), "\nTgid:\t")
	number, _, _ := strings.Cut(rest, "\n")
	pid, _ := strconv.Atoi(number)
	return pid
}

// entering reports whether a stop is before a system call, not behind it.
func entering(tid int) bool {
	var info [88]byte // struct ptrace_syscall_info
	_, _, e := syscall.Syscall6(syscall.SYS_PTRACE, unix.PTRACE_GET_SYSCALL_INFO, uintptr(tid), uintptr(len(info)), uintptr(unsafe.Pointer(&info[0])), 0, 0)
	return e == 0 && info[0] == unix.PTRACE_SYSCALL_INFO_ENTRY
}
