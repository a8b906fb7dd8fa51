package nettest

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// role tells this test binary, started again by a test, what to be.
const role = "POSTRIDER_NETTEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "exit":
		if err := Reexec(); err != nil {
			os.Exit(99)
		}
		os.Stdout.WriteString(strings.Join(os.Args[1:], " "))
		os.Exit(7)
	case "private":
		if err := (Space{Mounts: true}).Enter(); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(99)
		}
		self, _ := os.Readlink("/proc/self")
		fmt.Printf("%v %d", self == strconv.Itoa(os.Getpid()), os.Getppid())
		os.Exit(0)
	case "orphan":
		if err := (Space{Mounts: true}).Enter(); err != nil {
			os.Stdout.WriteString(err.Error())
			os.Exit(99)
		}
		os.Stdout.WriteString(orphan())
		os.Exit(5)
	}
	Main(m)
}

func TestDocumentationAddressesAreLocalButNotOurs(t *testing.T) {
	if !Inside() || Why() != "" {
		t.Fatalf("Inside() = %v, Why() = %q in a test run by Main", Inside(), Why())
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.7:25", "198.51.100.1:25", "203.0.113.255:465", "[2001:db8::25]:25", "127.0.0.1:53", "[::1]:53"} {
		l, err := net.Listen("tcp", a)
		if err != nil {
			t.Errorf("listen %s: %v", a, err)
			continue
		}
		c, err := net.Dial("tcp", a)
		if err != nil {
			t.Errorf("dial %s: %v", a, err)
			l.Close()
			continue
		}
		c.Close()
		l.Close()
		addr := netip.MustParseAddrPort(a).Addr()
		for _, o := range own {
			if p, err := netip.ParsePrefix(o.String()); err == nil && !addr.IsLoopback() && p.Addr() == addr {
				t.Errorf("%v belongs to an interface", addr)
			}
		}
	}
}

func TestTheWorldIsOutOfReach(t *testing.T) {
	for _, a := range []string{"8.8.8.8:53", "[2606:4700::1111]:53", "10.0.0.1:25"} {
		c, err := net.Dial("tcp", a)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("dial %s = %v, want no route", a, err)
		}
	}
}

// outer starts this binary again as if from outside, in the given role.
func outer(r string, args ...string) (string, error) {
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), role+"="+r, marker+"=")
	out, err := cmd.Output()
	return string(out), err
}

func TestArgumentsAndExitStatusPassThrough(t *testing.T) {
	out, err := outer("exit", "one", "two words")
	var e *exec.ExitError
	if !errors.As(err, &e) || e.ExitCode() != 7 || out != "one two words" {
		t.Errorf("output %q, error %v; want the arguments and status 7", out, err)
	}
}

func TestPrivateProcessesAreNumberedAnew(t *testing.T) {
	if out, err := outer("private"); err != nil || out != "true 1" {
		t.Errorf("/proc is ours, and the parent's number: %q, %v; want true 1", out, err)
	}
}

// orphan has a process whose parent ends before it, and tells what is left of it once it has ended too.
func orphan() string {
	shell := exec.Command("/bin/sh", "-c", "sleep 0.1 </dev/null >/dev/null 2>&1 & echo $!")
	shell.Stderr = os.Stderr
	out, err := shell.Output()
	if err != nil {
		return err.Error()
	}
	pid := strings.TrimSpace(string(out))
	for limit := time.Now().Add(10 * time.Second); time.Now().Before(limit); time.Sleep(time.Millisecond) {
		if _, err := os.Stat("/proc/" + pid); errors.Is(err, os.ErrNotExist) {
			return "nothing"
		}
	}
	status, _ := os.ReadFile("/proc/" + pid + "/status")
	return string(status)
}

// Hundreds of tests whose programs leave children behind would fill the process table with the dead.
func TestOrphansAreWaitedFor(t *testing.T) {
	out, err := outer("orphan")
	var e *exec.ExitError
	if !errors.As(err, &e) || e.ExitCode() != 5 || out != "nothing" {
		t.Errorf("left of an orphan: %q, %v; want nothing, and status 5", out, err)
	}
}

func TestSkipFailsOnlyInCI(t *testing.T) {
	for ci, want := range map[string]int{"true": 1, "": 0} {
		t.Setenv("CI", ci)
		var said strings.Builder
		if got := skip(&said, errors.New("no namespaces")); got != want {
			t.Errorf("CI=%q: status %d, want %d", ci, got, want)
		}
		if !strings.Contains(said.String(), "NOT RUN") || !strings.Contains(said.String(), "no namespaces") {
			t.Errorf("CI=%q: said %q, want it loud and with the reason", ci, said.String())
		}
	}
}
