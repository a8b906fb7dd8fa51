package nettest

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// marker names the environment variable by which the inner process knows itself; its value is the outer
// network namespace, so that a leaked variable can never make us configure the machine's own network.
const marker = "POSTRIDER_NETTEST"

// Space says what a process wants of its own world.
type Space struct {
	// Local are the prefixes made local on lo; nil means Documentation().
	Local []netip.Prefix
	// Mounts asks for private mount and process namespaces as well, with a fresh /proc: mounts made there
	// are invisible outside, and every process left over dies with the program. The program is the
	// child of the first one there, which waits for whoever loses his parent, and exits with the program's status.
	Mounts bool
}

// Documentation returns the prefixes set aside for examples (RFC 5737, RFC 3849).
func Documentation() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"),
		netip.MustParsePrefix("198.51.100.0/24"),
		netip.MustParsePrefix("203.0.113.0/24"),
		netip.MustParsePrefix("2001:db8::/32"),
	}
}

// Main is the whole of a TestMain: it runs m inside a network namespace and exits. addrs are made local there;
// none means Documentation(). Where no namespace can be had, it says so in one loud line and exits, with
// success on a developer's machine and with failure when CI=true.
func Main(m *testing.M, addrs ...netip.Prefix) {
	if err := (Space{Local: addrs}).Enter(); err != nil {
		os.Exit(Skip(err))
	}
	os.Exit(m.Run())
}

// Skip tells stderr that the tests of this program were not run and why, and returns the exit code that is
// due: 1 when CI=true, else 0.
func Skip(why error) int { return skip(os.Stderr, why) }

func skip(w io.Writer, why error) int {
	fmt.Fprintf(w, "*** NOT RUN: %s: %v ***\n", os.Args[0], why)
	if os.Getenv("CI") == "true" {
		return 1
	}
	return 0
}

// Reexec is Space{}.Enter: lo and the documentation addresses, nothing else private.
func Reexec() error { return Space{}.Enter() }

// Why says in one line why no namespace can be had here; empty when one can.
func Why() string {
	if Inside() {
		return ""
	}
	if _, err := (Space{}).attributes(); err != nil {
		return err.Error()
	}
	return ""
}

// Inside tells whether this process already runs in a namespace made by Enter.
func Inside() bool {
	outer := os.Getenv(marker)
	return outer != "" && outer != networkID()
}

// Enter puts the program into its own namespaces. In the outer process it runs the same binary again with the
// same arguments, environment and descriptors, passes signals on, and exits with the inner one's status; it
// returns only an error, when no namespace can be had. In the inner process it sets up lo and returns nil.
func (s Space) Enter() error {
	if Inside() {
		if err := s.settle(); err != nil || !s.Mounts || os.Getpid() != 1 {
			return err
		}
		return again(os.Getenv(marker), &syscall.SysProcAttr{})
	}
	attr, err := s.attributes()
	if err != nil {
		return err
	}
	return again(networkID(), attr)
}

// again runs this program once more, as attr has it, in what is not the network outer, and exits with its status.
func again(outer string, attr *syscall.SysProcAttr) error {
	// The parent-death signal follows the thread, not the process: this thread must stay until the child is gone.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), marker+"="+outer)
	cmd.SysProcAttr = attr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start in namespaces: %w", err)
	}
	os.Exit(watch(cmd.Process))
	return nil
}

// watch passes signals to p until it ends and returns the exit status due. As the first process of its namespace it
// is everybody's parent who has lost his own: unless it waits for those too, they stay, and after some thousands
// nobody can start a process any more.
func watch(p *os.Process) int {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2)
	go func() { // ends with the process, which exits after watch
		for s := range signals {
			p.Signal(s)
		}
	}()
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			fmt.Fprintln(os.Stderr, "nettest: wait:", err)
			return 1
		case pid == p.Pid && status.Signaled():
			return 128 + int(status.Signal())
		case pid == p.Pid:
			return status.ExitStatus()
		}
	}
}

// attributes returns the first way of making the namespaces that works here, tried with a program that does
// nothing: plainly, which needs CAP_SYS_ADMIN, then through a user namespace.
func (s Space) attributes() (*syscall.SysProcAttr, error) {
	flags := uintptr(unix.CLONE_NEWNET)
	if s.Mounts {
		flags |= unix.CLONE_NEWNS | unix.CLONE_NEWPID
	}
	var first error
	for _, attr := range ways(flags) {
		probe := exec.Command("/bin/true")
		probe.SysProcAttr = attr
		err := probe.Run()
		if err == nil {
			again := *attr
			return &again, nil
		}
		if first == nil {
			first = err
		}
	}
	return nil, fmt.Errorf("no private network (need CAP_SYS_ADMIN or unprivileged user namespaces): %w", first)
}

// ways lists the attributes worth trying. Root without CAP_SYS_ADMIN, as in a container, may still map every
// user; anybody else may map only itself.
func ways(flags uintptr) []*syscall.SysProcAttr {
	plain := &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL}
	wide := &syscall.SysProcAttr{
		Cloneflags: flags | unix.CLONE_NEWUSER, Pdeathsig: unix.SIGKILL, GidMappingsEnableSetgroups: true,
		UidMappings: []syscall.SysProcIDMap{{Size: 65535}}, GidMappings: []syscall.SysProcIDMap{{Size: 65535}},
	}
	alone := &syscall.SysProcAttr{
		Cloneflags: flags | unix.CLONE_NEWUSER, Pdeathsig: unix.SIGKILL,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if os.Getuid() == 0 {
		return []*syscall.SysProcAttr{plain, wide, alone}
	}
	return []*syscall.SysProcAttr{alone}
}

// settle prepares the namespaces this process was started in; doing it twice is harmless (fuzz workers are
// started with our environment).
func (s Space) settle() error {
	if s.Mounts {
		if err := ownMounts(); err != nil {
			return err
		}
	}
	local := s.Local
	if len(local) == 0 {
		local = Documentation()
	}
	return loopback(local)
}

// ownMounts keeps every later mount from spreading outside, and shows the right processes in /proc.
func ownMounts() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if pid, err := os.Readlink("/proc/self"); err == nil && pid == strconv.Itoa(os.Getpid()) {
		return nil
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	return nil
}

// networkID names the network namespace of this process; empty where there are none.
func networkID() string {
	id, err := os.Readlink("/proc/thread-self/ns/net")
	if err != nil {
		return ""
	}
	return id
}
