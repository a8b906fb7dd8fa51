package proxy

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"postrider/inbound"
)

// How long things may take: a client or server that says nothing before TLS, a
// handshake, a client that does not take what is there for it.
const (
	silence   = 300 * time.Second
	handshake = time.Minute
	stubborn  = 1200 * time.Second
)

const closed = -1

// Session is one client and the server that is our parent.
type Session struct {
	Client   inbound.Descriptors
	Helper   inbound.Helper
	In, Out  int  // pipes: what the server reads, and what it writes
	Required bool // TLS
	Log      func(line string)

	conn *inbound.Conn
	d    *dialogue
	buf  []byte
	gone bool // the client takes nothing any more
	shut bool // it has been told that there is nothing more for it
	idle time.Duration
}

// Run proxies to the end of the session and returns the exit code.
func (s *Session) Run() int {
	s.Client.Patience, s.idle = stubborn, silence
	return s.run()
}

func (s *Session) run() int {
	s.Helper.Wire, s.Helper.Time = &s.Client, handshake
	s.conn = inbound.NewConn(&s.Client)
	s.d = newDialogue(s.Required)
	s.buf = make([]byte, 16<<10)
	for _, fd := range []int{s.In, s.Out} {
		if err := unix.SetNonblock(fd, true); err != nil {
			s.log("no server: " + err.Error())
			return ExitTrouble
		}
	}
	for {
		if exit, over := s.turn(); over {
			return exit
		}
	}
}

// turn does what can be done, and waits for more.
func (s *Session) turn() (exit int, over bool) {
	for s.conn.Buffered() > 0 && s.d.hungry() {
		s.hear()
	}
	s.tell()
	if s.d.warning != "" {
		s.log(s.d.warning)
		s.d.warning = ""
	}
	if s.d.exit != 0 {
		return s.d.exit, true
	}
	if s.d.secure {
		if s.gone {
			return 0, true
		}
		if _, err := s.Helper.Start(s.conn); err != nil {
			s.log("unable to start TLS: " + err.Error())
			return ExitTrouble, true
		}
		s.d.begun()
		return 0, false
	}
	s.pass()
	if s.Out == closed && s.over() {
		return 0, true
	}
	if !s.wait() {
		s.log("nobody has said anything for too long")
		return ExitIdle, true
	}
	return 0, false
}

// over is asked when the server says nothing more: the session is, unless it is
// being copied and the server still hears. Then only the client is told.
func (s *Session) over() bool {
	if !s.d.copying || s.In == closed || s.gone {
		return true
	}
	if !s.shut {
		s.shut = true
		if err := unix.Shutdown(s.Client.Out, unix.SHUT_WR); err == unix.ENOTSOCK {
			unix.Close(s.Client.Out) // a pipe to TLS
		}
	}
	return false
}

// hear takes what the client has sent, or its end.
func (s *Session) hear() {
	p, err := s.conn.Next()
	if err != nil {
		s.d.ended = true
		return
	}
	s.conn.Used(s.d.fromClient(p))
}

// tell gives the client what is there for it.
func (s *Session) tell() {
	if len(s.d.toClient) > 0 && !s.gone && !s.shut {
		if _, err := s.Client.Write(s.d.toClient); err != nil {
			s.gone, s.d.ended = true, true
		}
	}
	s.d.toClient = s.d.toClient[:0]
}

// pass gives the server what it takes, and after that the client's end.
func (s *Session) pass() {
	for len(s.d.toServer) > 0 && s.In != closed {
		n, err := unix.Write(s.In, s.d.toServer)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return
		case err != nil:
			s.hangUp()
		}
		s.d.toServer = append(s.d.toServer[:0], s.d.toServer[max(n, 0):]...)
	}
	if s.d.ended {
		s.hangUp()
	}
}

func (s *Session) hangUp() {
	if s.In != closed {
		unix.Close(s.In)
		s.In = closed
	}
}

// wait waits until somebody has said something, or takes something; false is
// that nobody has for too long. When copying, time is the server's business.
func (s *Session) wait() bool {
	fds := [...]unix.PollFd{
		{Fd: int32(s.Out), Events: unix.POLLIN},
		{Fd: int32(s.In)}, // also when there is nothing to write: does it still read?
		{Fd: closed, Events: unix.POLLIN},
	}
	if len(s.d.toServer) > 0 {
		fds[1].Events = unix.POLLOUT
	}
	if s.d.hungry() && s.In != closed {
		fds[2].Fd = int32(s.Client.In)
	}
	limit := int(s.idle.Milliseconds())
	if s.d.copying {
		limit = -1
	}
	n, err := unix.Poll(fds[:], limit)
	if err != nil {
		return errors.Is(err, unix.EINTR)
	}
	if fds[0].Revents != 0 {
		s.listen()
	}
	if fds[1].Revents&(unix.POLLERR|unix.POLLNVAL) != 0 {
		s.hangUp()
	}
	if fds[2].Revents != 0 && s.d.hungry() {
		s.hear()
	}
	return n > 0
}

// listen takes what the server has said, or its end.
func (s *Session) listen() {
	n, err := unix.Read(s.Out, s.buf)
	if err == unix.EINTR || err == unix.EAGAIN {
		return
	}
	if n <= 0 {
		unix.Close(s.Out)
		s.Out = closed
		return
	}
	s.d.fromServer(s.buf[:n])
}

func (s *Session) log(what string) { s.Log("smtpd-starttls-proxy-io: " + what) }
