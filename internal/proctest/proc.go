package proctest

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience is how long we wait for a process, on the busiest of machines.
const patience = time.Minute

// Running lists the processes that run the program at path, which has no
// symbolic link in it.
func Running(t *testing.T, path string) []int {
	t.Helper()
	return list(t, func(pid int) bool {
		exe, err := os.Readlink(proc(pid) + "exe")
		return err == nil && exe == path
	})
}

// Children lists the processes whose parent is pid and that have not ended.
func Children(t *testing.T, pid int) []int {
	t.Helper()
	return list(t, func(child int) bool {
		state, parent := stat(child)
		return parent == pid && state != 'Z'
	})
}

// Only waits for the one child of pid, until it runs what it is there for. Before
// that it has the command line of its parent; and so has a child that lives for a
// moment only, of which Go learns what the kernel can do when it is to start its
// first process.
func Only(t *testing.T, pid int) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if list := Children(t, pid); len(list) == 1 && started(list[0], pid) {
			return list[0]
		}
	}
	t.Fatalf("children of %d: %v", pid, Children(t, pid))
	return 0
}

func started(child, parent int) bool {
	line, err := os.ReadFile(proc(child) + "cmdline")
	own, _ := os.ReadFile(proc(parent) + "cmdline")
	return err == nil && len(line) > 0 && !bytes.Equal(line, own)
}

// Gone waits for processes to end.
func Gone(t *testing.T, pids ...int) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for _, pid := range pids {
		for Alive(pid) {
			if time.Now().After(deadline) {
				t.Errorf("process %d lives", pid)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// Alive reports whether a process is there that has not ended.
func Alive(pid int) bool {
	state, _ := stat(pid)
	return state != 0 && state != 'Z'
}

// Idle waits until the processes that run the program at path all wait for
// something, each with all its threads, or are gone.
func Idle(t *testing.T, path string) {
	t.Helper()
	busy := func() bool {
		for _, pid := range Running(t, path) {
			threads, err := filepath.Glob(proc(pid) + "task/*/stat")
			if err != nil {
				t.Error(err)
			}
			for _, name := range threads {
				if state, _ := statOf(name); state == 'R' {
					return true
				}
			}
		}
		return false
	}
	for deadline := time.Now().Add(patience); busy(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s is busy", path)
			return
		}
	}
}

func proc(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/" }

func list(t *testing.T, which func(pid int) bool) []int {
	t.Helper()
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(strings.TrimPrefix(d, "/proc/"))
		if err == nil && which(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// stat is a process's state and parent (proc_pid_stat(5)); 0 where there is none.
func stat(pid int) (state byte, parent int) { return statOf(proc(pid) + "stat") }

func statOf(name string) (state byte, parent int) {
	b, err := os.ReadFile(name)
	if err != nil {
		return 0, 0
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	parent, _ = strconv.Atoi(string(f[1]))
	return f[0][0], parent
}
