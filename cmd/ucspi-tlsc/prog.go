package main

import (
	"strconv"
	"syscall"

	"postrider/internal/fdconn"
)

// atOnce does the handshake and then runs the program on cleartext.
func (c *client) atOnce(env []string) int {
	s, code := c.secure()
	if code != 0 {
		return code
	}
	var p plumbing
	if err := p.open(); err != nil {
		complain(err.Error())
		return exitSystem
	}
	files := fdconn.Inherited(max(c.in, c.out) + 1)
	files[c.in], files[c.out] = p.progIn, p.progOut
	pid, code := c.start(files, apply(c.clean(env), s.records))
	if code != 0 {
		return code
	}
	p.given()
	return c.pump(s, &p, pid)
}

// delayed runs the program in clear and waits for its word.
func (c *client) delayed(env []string) int {
	files, slots := spare(max(c.in, c.out) + 1)
	if files[c.in] != c.in || files[c.out] != c.out {
		complain("no network on descriptors " + strconv.Itoa(c.in) + " and " + strconv.Itoa(c.out))
		return exitSystem
	}
	var p plumbing
	ctl, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = p.open()
	}
	if err != nil {
		complain(err.Error())
		return exitSystem
	}
	offer := []string{"SSLCTLFD=", "SSLREADFD=", "SSLWRITEFD="}
	for i, fd := range []int{ctl[1], p.progIn, p.progOut} {
		files[slots[i]] = fd
		offer[i] += strconv.Itoa(slots[i])
	}
	pid, code := c.start(files, apply(c.clean(env), offer))
	if code != 0 {
		return code
	}
	syscall.Close(ctl[1])
	p.given()
	return c.serve(ctl[0], &p, pid)
}

// spare lists at least n inherited descriptors, and three numbers among them
// that nobody uses.
func spare(n int) (files []int, slots [3]int) {
	for ; ; n++ {
		files = fdconn.Inherited(n)
		found := 0
		for fd := 3; fd < n && found < len(slots); fd++ {
			if files[fd] == fdconn.Closed {
				slots[found] = fd
				found++
			}
		}
		if found == len(slots) {
			return files, slots
		}
	}
}

// serve is the helper's side of UCSPI-TLS: "y" begins TLS in silence, "Y" with
// the session's records for an answer, no byte before the end declines. What
// becomes of it is the program's business, and so is the exit code.
func (c *client) serve(ctl int, p *plumbing, pid int) int {
	command := fdconn.ReadByte(ctl)
	if command != 'y' && command != 'Y' {
		syscall.Close(ctl)
		p.close()
		c.hangUp()
		return wait(pid)
	}
	if command == 'y' {
		syscall.Close(ctl)
	}
	s, code := c.secure()
	if command == 'Y' {
		if code == 0 {
			var block []byte
			for _, r := range s.records {
				block = append(append(block, r...), 0)
			}
			fdconn.WriteAll(ctl, append(block, 0))
		}
		syscall.Close(ctl)
	}
	if code != 0 {
		p.close()
		return wait(pid)
	}
	return c.pump(s, p, pid)
}

// hangUp gives up our copies of the network.
func (c *client) hangUp() {
	syscall.Close(c.in)
	syscall.Close(c.out)
}

// start runs the program and lets go of what only the program needs.
func (c *client) start(files []int, env []string) (pid, code int) {
	path := fdconn.Find(c.prog[0], lookup(env, "PATH"))
	// A policy comes from qmail-remote: without it, and so without us, the
	// program must not go on with a delivery whose report nobody reads.
	child := fdconn.Child{Path: path, Args: c.prog, Env: env, Files: files, Bound: c.policy >= 0}
	pid, err := child.Start()
	if err != nil {
		complain("unable to run " + c.prog[0] + ": " + err.Error())
		return 0, exitSystem
	}
	fdconn.LetGo(c.in, c.out)
	return pid, 0
}

// plumbing is the pair of pipes between us and the program.
type plumbing struct {
	in, out         int // ours: what it writes, what it reads
	progIn, progOut int
}

func (p *plumbing) open() error {
	var down, up [2]int
	if err := syscall.Pipe2(down[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	if err := syscall.Pipe2(up[:], syscall.O_CLOEXEC); err != nil {
		return err
	}
	p.progIn, p.out = down[0], down[1]
	p.in, p.progOut = up[0], up[1]
	return nil
}

// given closes the ends that the program has now.
func (p *plumbing) given() {
	syscall.Close(p.progIn)
	syscall.Close(p.progOut)
}

func (p *plumbing) close() {
	syscall.Close(p.in)
	syscall.Close(p.out)
}

// pump carries bytes both ways until the program has ended and what it wrote is
// with the kernel, and returns the program's exit code.
func (c *client) pump(s *session, p *plumbing, pid int) int {
	prog, err := fdconn.New(p.in, p.out)
	if err != nil {
		complain(err.Error())
		p.close()
		return wait(pid)
	}
	go func() { // ends with the peer, or with us: what it says then nobody hears
		reading, _ := fdconn.Copy(prog, s)
		if reading != nil {
			s.raw.Close() // TLS is broken: what the program still says fails
			if c.verbosity > 0 {
				complain(reading.Error())
			}
		}
	}()
	fdconn.Copy(s, prog) // ends with the program, at the latest
	code := wait(pid)
	if c.strictEnd && code == 0 && s.truncated() {
		complain("the peer ended without close_notify")
		code = exitTLS
	}
	return code
}

func wait(pid int) int {
	code, err := fdconn.Wait(pid)
	if err != nil {
		complain(err.Error())
		return exitSystem
	}
	return code
}
