package authup

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"time"

	"postrider/inbound"
)

// World is what a session has to do with.
type World struct {
	Wire   *inbound.Descriptors // the client; what checkpassword gets as 0 and 1
	Errors int                  // the descriptor of the log; what checkpassword gets as 2
	Env    inbound.Env          // our own; checkpassword gets it with changes
	PID    int
	Now    time.Time // when the session began
}

// session is one client's. Paths through it:
//
//	greet (command)* QUIT                     exit 0
//	greet (command | attempt refused)* attempt taken: exit as the child did
//	... the last attempt refused, or a fatal  exit 1
//
// Invariant: between commands nothing of the client's is in our memory, and
// nothing that we said is unsent while we wait.
type session struct {
	Config
	World
	conn   *inbound.Conn
	wire   *lines
	level  inbound.Level
	secure bool // under TLS
	left   int  // attempts
	stamp  string
	user   []byte // of POP3's USER; nil before it
	heard  []byte // the last line: see line and forget
	room   []byte // for block; here, since a stack that grows leaves copies
}

// outcome is the exit code that ends a session, or goOn.
type outcome int

const goOn outcome = -1

// handshake is how long TLS may take to begin: nobody keeps a slot of the server
// for nothing.
const handshake = time.Minute

// Serve talks to one client and returns the exit code. failed is the error of
// Load: the client is told of it.
func Serve(c Config, w World, failed error) int {
	s := &session{Config: c, World: w, left: c.tries()}
	s.heard, s.room = make([]byte, 0, inbound.MaxLine), make([]byte, 0, maxBlock)
	if w.Wire.Patience = c.Patience; c.Patience == 0 {
		w.Wire.Patience = 1200 * time.Second // where Load failed
	}
	s.wire = &lines{wire: w.Wire}
	s.conn = inbound.NewConn(s.wire)
	s.level = inbound.TakeLevel(&s.Env)
	s.stamp = "<" + strconv.Itoa(w.PID) + "." + strconv.FormatInt(w.Now.Unix(), 10) + "@" + c.Greeting + ">"
	s.log("protocol ", c.Protocol.String())
	code := s.run(failed)
	s.forget()
	clear(s.user)
	s.conn.Flush() // a client that is gone is no matter now
	return int(code)
}

func (s *session) run(failed error) outcome {
	if failed != nil {
		s.log(failed.Error())
		return s.fatal(noControls)
	}
	greet, obey := s.greetSMTP, s.smtp
	if s.Protocol == POP3 {
		greet, obey = s.greetPOP3, s.pop3
	}
	greet()
	for {
		line, err := s.line()
		if err != nil {
			return s.lost(err)
		}
		// As inbound.ParseCommand does it, but of bytes that can be wiped.
		verb, arg, _ := bytes.Cut(line, []byte{' '})
		command := inbound.Command{Verb: string(verb)}
		if code := obey(command, bytes.TrimLeft(arg, " ")); code != goOn {
			return code
		}
	}
}

// lost ends a session whose client is gone, or silent, or talks for ever.
func (s *session) lost(err error) outcome {
	switch {
	case errors.Is(err, inbound.ErrLineTooLong):
		return s.fatal(noSense)
	case s.Popup: // Compat(qmail): in silence
		return 1
	case errors.Is(err, os.ErrDeadlineExceeded):
		return s.fatal(timedOut)
	case !errors.Is(err, io.EOF):
		s.log(err.Error())
	}
	return s.fatal(noRead)
}

// offers reports whether TLS is to be had.
func (s *session) offers() bool {
	return s.level >= inbound.Available && !s.secure
}

// bare reports whether a password would have to go in clear that must not.
func (s *session) bare() bool {
	return s.level == inbound.Required && !s.secure
}

// startTLS says yes, and begins TLS. What the client wrote before it could know
// of our yes is dropped first; what it writes after is the helper's.
func (s *session) startTLS(yes string) outcome {
	if s.conn.Flush() != nil {
		return 1
	}
	s.wire.drop()
	s.conn.Say(yes)
	if s.conn.Flush() != nil {
		return 1
	}
	helper := inbound.FindHelper(s.Env, s.Wire, min(s.Patience, handshake))
	if helper == nil {
		s.log(inbound.ErrNoHelper.Error())
		return s.fatal(noTLS) // Compat(authup): after the yes; in clear, since nobody reads it otherwise
	}
	records, err := helper.Start(s.conn)
	if err != nil {
		// The client speaks TLS now and we do not: nothing can be said.
		s.log("no TLS: ", err.Error())
		return 1
	}
	s.conn.Change(s.wire) // line by line there too
	s.Env.Apply(records)
	s.secure = true
	s.forgetUser()
	s.log("negotiated TLS")
	return goOn
}

func (s *session) forgetUser() {
	clear(s.user)
	s.user = nil
}
