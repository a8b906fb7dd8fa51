package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/inbound"
	"postrider/inbound/tlsd/options"
	"postrider/internal/fdconn"
)

// engine is the program that does TLS.
const engine = "ucspi-tlsd-io"

// launch is one run.
type launch struct {
	options options.Options
	env     inbound.Env
	pid     int // of the TLS process
}

// offer is the program's ends: SSLCTLFD, SSLREADFD, SSLWRITEFD.
type offer [3]int

func (o offer) variables() []string {
	return []string{
		"SSLCTLFD=" + strconv.Itoa(o[0]), "SSLREADFD=" + strconv.Itoa(o[1]), "SSLWRITEFD=" + strconv.Itoa(o[2]),
	}
}

// start starts the TLS process on the network and gives the program's ends of
// what is between the two.
func (l *launch) start() (offer, error) {
	for fd := range 2 {
		if _, err := unix.FcntlInt(uintptr(fd), syscall.F_GETFD, 0); err != nil {
			return offer{}, fmt.Errorf("no network on descriptor %d: %w", fd, err)
		}
	}
	var mine, its offer
	ctl, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return offer{}, os.NewSyscallError("socketpair", err)
	}
	mine[0], its[0] = ctl[0], ctl[1]
	for i := 1; i < 3; i++ { // its output first, which is our program's input
		var p [2]int
		if err := syscall.Pipe2(p[:], syscall.O_CLOEXEC); err != nil {
			return offer{}, os.NewSyscallError("pipe", err)
		}
		if i == 1 {
			mine[i], its[2] = p[0], p[1]
		} else {
			its[1], mine[i] = p[0], p[1]
		}
	}
	if err := l.run(its); err != nil {
		return offer{}, err
	}
	for _, fd := range its {
		syscall.Close(fd)
	}
	return mine.inheritable()
}

// run starts ucspi-tlsd-io. What the program has on other descriptors it does
// not get; above these 64 it closes them itself.
func (l *launch) run(ends offer) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	command := byte('?')
	if l.options.AtOnce {
		command = 'Y'
	}
	files := fdconn.Inherited(64)
	last := len(files) // no longer than it must be: ulimit -n may be low
	for last > 6 && files[last-1] == fdconn.Closed {
		last--
	}
	files = files[:last]
	copy(files, []int{0, 1, 2, ends[0], ends[1], ends[2]})
	for fd := 6; fd < len(files); fd++ {
		files[fd] = fdconn.Closed
	}
	// It never computes on two processors, and is smaller for not expecting to.
	child := fdconn.Child{
		Path: filepath.Join(filepath.Dir(self), engine), Env: append(slices.Clone(l.env), "GOMAXPROCS=1"), Files: files,
		Args: append([]string{engine, "--tls=" + string(command)}, l.options.Args()...),
	}
	if l.pid, err = child.Start(); err != nil {
		return fmt.Errorf("unable to run %s: %w", child.Path, err)
	}
	return nil
}

// least is the lowest number that a program finds its ends at. 3 is
// checkpassword's, and often somebody's way of saying that he is ready.
const least = 4

// inheritable moves the ends to where they survive exec.
func (o offer) inheritable() (offer, error) {
	var to offer
	for i, fd := range o {
		n, err := unix.FcntlInt(uintptr(fd), syscall.F_DUPFD, least)
		if err != nil {
			return offer{}, os.NewSyscallError("dup", err)
		}
		to[i] = n
	}
	return to, nil
}

// secure waits for the session, gives its records, and puts the program's ends
// in the network's place. Without a session it gives the exit code.
func (l *launch) secure(o offer) ([]string, int) {
	ctl := os.NewFile(uintptr(o[0]), "control")
	block, err := io.ReadAll(ctl)
	ctl.Close()
	var records fdconn.Records
	if err == nil {
		records, err = fdconn.ParseRecords(block)
	}
	if errors.Is(err, fdconn.ErrHandshake) {
		return nil, l.wait()
	}
	for i := 1; i < 3 && err == nil; i++ {
		err = syscall.Dup3(o[i], i-1, 0)
		syscall.Close(o[i])
	}
	if err != nil {
		complain(err.Error())
		return nil, exitSystem
	}
	return records, 0
}

// wait gives the exit code of a TLS process that has failed, and has said why.
func (l *launch) wait() int {
	code, err := fdconn.Wait(l.pid)
	if err != nil || code == 0 || code > 111 {
		complain(engine + " has died")
		return exitSystem
	}
	return code
}
