package authup

import (
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fdconn"
)

// maxBlock is how much checkpassword reads of descriptor 3.
const maxBlock = 512

// attempt is one try at getting in. What comes of it the client learns from us
// where it failed, and from the program behind checkpassword where it did not.
func (s *session) attempt(who *credential) outcome {
	block := s.block(who)
	if block == nil {
		if s.Protocol == POP3 {
			s.tell(badSyntax)
		} else {
			s.tell(malformed)
		}
		return goOn
	}
	if s.conn.Flush() != nil {
		return 1
	}
	s.left--
	soonest := time.Now().Add(s.Refusal)
	pid, trouble := s.check(string(who.user), block)
	// Now, not later: the child may stay for hours.
	clear(block)
	clear(who.pass)
	s.forget()
	if trouble != nil {
		return s.fatal(*trouble)
	}
	status, err := wait(pid)
	if err != nil {
		s.log(err.Error())
		return s.fatal(noWait)
	}
	code := s.judge(pid, status)
	if code == refused {
		time.Sleep(time.Until(soonest))
		s.tell(badAuth)
		if code = goOn; s.left == 0 || s.Popup {
			code = 1
		}
	}
	return code
}

// block is what checkpassword is to read: name, password and timestamp, a NUL
// behind each; nil where that is too long for it. Only POP3 has a timestamp.
func (s *session) block(who *credential) []byte {
	stamp := ""
	if s.Protocol == POP3 {
		stamp = s.stamp
	}
	if len(who.user)+len(who.pass)+len(stamp)+3 > maxBlock {
		return nil
	}
	b := append(append(s.room[:0], who.user...), 0)
	b = append(append(b, who.pass...), 0)
	return append(append(b, stamp...), 0)
}

// check starts checkpassword with block on its descriptor 3, and logs it.
func (s *session) check(user string, block []byte) (pid int, trouble *reply) {
	var pipe [2]int
	if err := syscall.Pipe2(pipe[:], syscall.O_CLOEXEC); err != nil {
		s.log(err.Error())
		return 0, &noPipe
	}
	defer syscall.Close(pipe[0])
	// A pipe holds it all (PIPE_BUF is 4096): nobody has to read yet.
	err := fdconn.WriteAll(pipe[1], block)
	syscall.Close(pipe[1])
	if err != nil {
		s.log(err.Error())
		return 0, &noWrite
	}
	pid, err = s.start(user, pipe[0])
	if err != nil {
		s.log("unable to run ", clean(s.Command[0]), ": ", err.Error())
		return 0, &noFork
	}
	s.log("checkpassword ", strconv.Itoa(pid), " attempt for ", clean(user))
	return pid, nil
}

// start starts checkpassword: the client on 0 and 1, our log on 2, secret on 3,
// and nothing else, provided that main has called Seal. Go gives SIGPIPE its
// default action back (syscall.ForkExec does, for every signal that it handles).
func (s *session) start(user string, secret int) (int, error) {
	file := find(s.Command[0], s.Env.Get("PATH"), s.Dir)
	if file == "" {
		return 0, syscall.ENOENT
	}
	env := s.Env
	for _, name := range []string{"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"} {
		env.Unset(name) // the child has no such descriptors, or others of that number
	}
	env.Set("AUTHUP_USER", user)
	attr := syscall.ProcAttr{
		Dir:   s.Dir,
		Env:   env,
		Files: []uintptr{uintptr(s.Wire.In), uintptr(s.Wire.Out), uintptr(s.Errors), uintptr(secret)},
	}
	return syscall.ForkExec(file, s.Command, &attr)
}

// Seal keeps every descriptor above 2 from the programs that this process will
// start: whoever is behind checkpassword runs as a user, who has no business with
// what our parent left open, nor with the control socket of a TLS helper.
func Seal() {
	if unix.CloseRange(3, 1<<31-1, unix.CLOSE_RANGE_CLOEXEC) == nil {
		return
	}
	for fd := 3; fd < 1024; fd++ { // before Linux 5.11; no such descriptor is no matter
		syscall.CloseOnExec(fd)
	}
}

// find looks for prog in path, as execvp(3) does where prog has no slash; what
// is relative there is so to dir. It is "" where there is none.
func find(prog, path, dir string) string {
	if strings.Contains(prog, "/") {
		return prog
	}
	if path == "" {
		path = "/bin:/usr/bin"
	}
	for entry := range strings.SplitSeq(path, ":") {
		file := entry + "/" + prog
		if entry == "" {
			file = "./" + prog
		}
		at := file
		if dir != "" && file[0] != '/' {
			at = dir + "/" + file
		}
		var st syscall.Stat_t
		if unix.Access(at, unix.X_OK) == nil && syscall.Stat(at, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG {
			return file
		}
	}
	return ""
}

func wait(pid int) (syscall.WaitStatus, error) {
	var status syscall.WaitStatus
	for {
		_, err := syscall.Wait4(pid, &status, 0, nil)
		if err != syscall.EINTR {
			return status, err
		}
	}
}

// refused is judge's answer where the credential was not good.
const refused outcome = -2

// judge tells from the end of the child what became of the attempt. The child is
// checkpassword, or what it became: a program behind it that exits 1, 2 or 111
// looks like a wrong password, which is why checknotroot does so, and why servers
// made to run here do not. Any code not listed is that program's own affair.
func (s *session) judge(pid int, status syscall.WaitStatus) outcome {
	child := "checkpassword " + strconv.Itoa(pid)
	if !status.Exited() {
		s.log(child, " crashed")
		return s.fatal(crashed)
	}
	code := status.ExitStatus()
	if s.Popup { // Compat(qmail): one attempt, and 1 whatever comes of it
		if code != 0 {
			s.log(child, " failed, 0 remaining")
			return refused
		}
		s.log(child, " succeeded, child completed")
		return 1
	}
	switch code {
	case 1, 2, 111:
		s.log(child, " failed, ", strconv.Itoa(s.left), " remaining")
		return refused
	case 16: // the program behind it found the client silent
		return s.fatal(timedOut)
	case 18:
		return s.fatal(noControls)
	}
	s.log(child, " succeeded, child completed")
	return outcome(code)
}
