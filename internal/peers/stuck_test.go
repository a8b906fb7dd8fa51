package peers

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// stuck describes the namespace for whoever has to find out who waits for whom: what every process sleeps in, the
// sockets with their owners, the peers' logs. It must be called while everything still stands.
func stuck() string {
	var b strings.Builder
	mine, _ := os.Readlink("/proc/self/ns/net")
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	for _, dir := range dirs {
		// A zombie has no namespaces any more and waits for nobody.
		if ns, err := os.Readlink(dir + "/ns/net"); err == nil && ns == mine {
			b.WriteString(asleep(dir))
		}
	}
	sockets, err := exec.Command("ss", "-nap", "--tcp", "--udp", "--unix").CombinedOutput()
	if err != nil {
		fmt.Fprintln(&b, "ss:", err)
	}
	b.Write(sockets)
	logs, _ := filepath.Glob(work + "/*/log")
	for _, name := range logs {
		text, _ := os.ReadFile(name) // its server may just end
		fmt.Fprintf(&b, "%s:\n%s", name, text)
	}
	return b.String()
}

// asleep gives a line for each thread of a process: the kernel's name for its wait, the system call, and what is
// polled. A process that ends meanwhile gives less.
func asleep(dir string) string {
	var b strings.Builder
	args, _ := os.ReadFile(dir + "/cmdline")
	fmt.Fprintf(&b, "%s %s\n", filepath.Base(dir), strings.ReplaceAll(string(args), "\x00", " "))
	tasks, _ := filepath.Glob(dir + "/task/[0-9]*")
	for _, task := range tasks {
		place, _ := os.ReadFile(task + "/wchan")
		call, _ := os.ReadFile(task + "/syscall")
		fmt.Fprintf(&b, "\t%s %s", place, call)
		for _, fd := range polled(dir, strings.Fields(string(call))) {
			target, _ := os.Readlink(dir + "/fd/" + strconv.Itoa(fd))
			fmt.Fprintf(&b, "\t\tpolls %d, %s\n", fd, target)
		}
	}
	return b.String()
}

// polled reads the descriptors of a poll(2) out of its caller's memory. call is /proc/PID/syscall, in fields: the
// number, then the arguments in hexadecimal.
func polled(dir string, call []string) []int {
	const sysPoll, size, most = "7", 8, 16 // of amd64; of struct pollfd; of those worth a line
	if len(call) < 3 || call[0] != sysPoll {
		return nil
	}
	at, err := strconv.ParseInt(call[1], 0, 64)
	n, err2 := strconv.ParseInt(call[2], 0, 64)
	if err != nil || err2 != nil {
		return nil
	}
	mem, err := os.Open(dir + "/mem")
	if err != nil {
		return nil
	}
	defer mem.Close()
	raw := make([]byte, min(n, most)*size)
	if _, err := mem.ReadAt(raw, at); err != nil {
		return nil
	}
	var fds []int
	for entry := range slices.Chunk(raw, size) {
		fds = append(fds, int(int32(binary.NativeEndian.Uint32(entry))))
	}
	return fds
}

// Here the server is stuck, for a client that says nothing.
func TestStuckTellsWhoWaits(t *testing.T) {
	p := Postfix(t, ServerConfig{Listen: where})
	silent, err := net.Dial("tcp", where)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	if _, err := silent.Read(make([]byte, 100)); err != nil { // the greeting
		t.Fatal(err)
	}
	p.until(t, "poll for what the client says", func() bool { return strings.Contains(stuck(), "polls ") })
	told := stuck()
	for _, want := range []string{"peers.test", p.name + " -c ", "smtpd -n", where, "daemon started"} {
		if !strings.Contains(told, want) {
			t.Errorf("no %q in:\n%s", want, told)
		}
	}
}
