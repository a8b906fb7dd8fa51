package fixsmtpio

import (
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"postrider/inbound"
)

// Exit codes of our own; others are rules' and the server's.
const (
	ExitTrouble = 1  // no service, no TLS, or a server that died of a signal
	ExitForNow  = 14 // the same below qmail-authup(8)
	ExitRules   = 18 // control/fixsmtpio makes no sense: qmail-authup(8) says 421
)

// notNow is said below qmail-authup with ExitForNow.
const notNow = "421 internal error (#4.3.0)\r\n"

// handshake is how long a client may take to begin TLS.
const handshake = time.Minute

// Session is one client, and the server that serves it.
type Session struct {
	Config
	Client inbound.Descriptors
	Env    inbound.Env
	Prog   []string
	PID    int
	Log    func(line string) // one line for the log, which may hold any bytes

	conn   *inbound.Conn
	helper *inbound.Helper
	kid    *kid
	d      *dialogue
	buf    []byte
	gone   bool // the client takes nothing any more
	traced bool
}

// Run serves the client to the end and returns the exit code.
func (s *Session) Run() int {
	s.Client.Patience = s.Patience
	s.conn = inbound.NewConn(&s.Client)
	s.helper = inbound.FindHelper(s.Env, &s.Client, handshake)
	s.buf = make([]byte, 16<<10)
	_, s.traced = s.Env.Lookup("FIXSMTPIODEBUG")
	if s.helper != nil { // the server has no business with them
		for _, fd := range []int{s.helper.FDs.Ctl, s.helper.FDs.Read, s.helper.FDs.Write} {
			unix.CloseOnExec(fd)
		}
	}
	for _, name := range []string{"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"} {
		s.Env.Unset(name)
	}
	// Compat(acceptutils): the first server still sees UCSPITLS. The second does not.
	env := s.Env
	level := inbound.TakeLevel(&s.Env)
	if err := s.begin(env, level, false); err != nil {
		return s.fail("unable to run "+s.Prog[0]+": "+err.Error(), true)
	}
	return s.serve()
}

// begin starts a server, and a dialogue with it.
func (s *Session) begin(env inbound.Env, level inbound.Level, secured bool) error {
	k, err := start(s.Prog, env)
	if err != nil {
		return err
	}
	s.kid = k
	_, authenticated := s.Env.Lookup("AUTHUP_USER")
	offers := level != inbound.Unavailable && !secured && !authenticated
	w := rewriter{rules: s.Rules, greeting: s.Greeting, env: s.Env, offers: offers}
	s.d = newDialogue(w, level, secured, s.helper != nil)
	return nil
}

// serve carries bytes until the server or a rule ends the session. The end of
// the client is told to the server, whose last replies may still be wanted.
func (s *Session) serve() int {
	for {
		for s.conn.Buffered() > 0 && s.d.hungry() {
			s.hear()
		}
		s.tell()
		switch {
		case s.d.over:
			return s.finish()
		case s.d.secure && !s.gone:
			if err := s.secure(); err != nil {
				s.kid.stop(mercy)
				return s.fail("unable to start TLS: "+err.Error(), false)
			}
			continue
		}
		s.pass()
		if s.kid.out == closed {
			return s.finish()
		}
		s.wait()
	}
}

// hear takes what the client has sent, or its end.
func (s *Session) hear() {
	p, err := s.conn.Next()
	if err != nil {
		s.d.clientEnd()
		return
	}
	kind := "1"
	if s.d.data {
		kind = "D"
	}
	used := s.d.fromClient(p)
	s.trace(kind, p[:used])
	s.conn.Used(used)
}

// tell gives the client what is there for it. Whoever does not take it in time
// has gone.
func (s *Session) tell() {
	if len(s.d.toClient) > 0 && !s.gone {
		s.trace("4", s.d.toClient)
		if _, err := s.Client.Write(s.d.toClient); err != nil {
			s.gone = true
			s.d.clientEnd()
		}
	}
	s.d.toClient = s.d.toClient[:0]
}

// pass gives the server what it takes, and after that the client's end. A
// server that reads no more will end, and does not hear the client till then.
func (s *Session) pass() {
	if len(s.d.toServer) > 0 && s.kid.in != closed {
		n, err := s.kid.write(s.d.toServer)
		if err != nil {
			s.kid.hangUp()
			return
		}
		s.trace("2", s.d.toServer[:n])
		s.d.toServer = append(s.d.toServer[:0], s.d.toServer[n:]...)
	}
	if s.d.ended && len(s.d.toServer) == 0 {
		s.kid.hangUp()
	}
}

// wait waits until one of the two has something for us, or the server takes
// more, and hears them, the server first.
func (s *Session) wait() {
	fds := [...]unix.PollFd{
		{Fd: int32(s.kid.out), Events: unix.POLLIN},
		{Fd: closed, Events: unix.POLLOUT},
		{Fd: closed, Events: unix.POLLIN},
	}
	if len(s.d.toServer) > 0 {
		fds[1].Fd = int32(s.kid.in)
	}
	if s.d.hungry() && s.kid.in != closed {
		fds[2].Fd = int32(s.Client.In)
	}
	if _, err := unix.Poll(fds[:], -1); err != nil {
		return // EINTR; there is no other that a retry makes worse
	}
	if fds[0].Revents != 0 {
		n := s.kid.read(s.buf)
		s.trace("3", s.buf[:n])
		if n == 0 {
			s.kid.deafen()
		}
		s.d.fromServer(s.buf[:n])
	}
	if fds[2].Revents != 0 && s.d.hungry() {
		s.hear()
	}
}

// secure begins TLS, and a new server for it: nothing that was said in clear is
// remembered (RFC 3207 §4.2), by us or by the server.
func (s *Session) secure() error {
	records, err := s.helper.Start(s.conn)
	if err != nil {
		return err
	}
	s.Env.Apply(records)
	s.Env.Set("FIXSMTPIOTLS", "1")
	s.kid.stop(mercy)
	return s.begin(s.Env, inbound.Unavailable, true)
}

// finish waits for the server and says what became of the session.
func (s *Session) finish() int {
	ws, err := s.kid.end()
	switch {
	case err != nil:
		return s.fail("unable to wait for the server: "+err.Error(), true)
	case ws.Signaled():
		return s.fail("aack, child crashed", s.d.refusal == "")
	case s.d.err != nil:
		return s.fail(s.d.err.Error(), s.d.refusal == "")
	case s.d.exit >= 0:
		return s.d.exit
	}
	return ws.ExitStatus()
}

// fail is the end of a session for a reason that is not the client's. Below
// qmail-authup ExitTrouble would be a wrong password, and its 535 the answer to
// whatever the client is at: a message, even, which nobody would send again. So
// we give the answer, where one can be heard.
func (s *Session) fail(why string, heard bool) int {
	s.log(why)
	if _, authenticated := s.Env.Lookup("AUTHUP_USER"); !authenticated {
		return ExitTrouble
	}
	if heard && !s.gone {
		s.Client.Write([]byte(notNow)) // whoever does not take it has gone
	}
	return ExitForNow
}

// trace logs what goes by, where FIXSMTPIODEBUG asks for it.
func (s *Session) trace(kind string, p []byte) {
	if !s.traced || len(p) == 0 {
		return
	}
	prefix := "fixsmtpio " + strconv.Itoa(s.PID) + " KID " + strconv.Itoa(s.kid.pid) + " " + kind + ": "
	for line := range strings.Lines(string(p)) {
		s.Log(prefix + strings.TrimRight(line, "\r\n"))
	}
}

func (s *Session) log(what string) { s.Log("fixsmtpio: " + what) }
