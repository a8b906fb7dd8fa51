package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mode is how the server is spoken to.
type mode struct {
	TLS, DANE          bool
	Chunking, Lockstep bool
}

func (m mode) String() string {
	s := "clear"
	switch {
	case m.DANE:
		s = "dane"
	case m.TLS:
		s = "tls"
	}
	if m.Chunking {
		s += "+chunking"
	}
	if m.Lockstep {
		s += "+lockstep"
	}
	return s
}

func parseMode(s string) (mode, error) {
	var m mode
	words := strings.Split(s, "+")
	switch words[0] {
	case "clear":
	case "tls":
		m.TLS = true
	case "dane":
		m.TLS, m.DANE = true, true
	default:
		return m, fmt.Errorf("mode %q is not clear, tls or dane", words[0])
	}
	for _, w := range words[1:] {
		switch w {
		case "chunking":
			m.Chunking = true
		case "lockstep":
			m.Lockstep = true
		default:
			return m, fmt.Errorf("mode %q: what is %q?", s, w)
		}
	}
	return m, nil
}

// testCase is one line of the table for each program.
type testCase struct {
	mode
	rtt      time.Duration
	inFlight int
}

func (c testCase) String() string {
	return fmt.Sprintf("%v, round trip %v, %d in flight", c.mode, c.rtt, c.inFlight)
}

// exchanges counts the protocol's least round trips up to the last 250, QUIT not
// awaited: the TCP handshake, the greeting, EHLO, then MAIL RCPT DATA and the
// content (RFC 2920), which are one where content is sent by BDAT (RFC 3030), or
// four in lockstep; TLS adds STARTTLS, its handshake (TLS 1.3) and EHLO again.
// Where the server only answers late the handshakes are free.
func (m mode) exchanges(packets bool) int {
	n := 3 + 2
	switch {
	case m.Lockstep:
		n += 2
	case m.Chunking:
		n--
	}
	if m.TLS {
		n += 3
	}
	if !packets {
		n--
		if m.TLS {
			n--
		}
	}
	return n
}

// least is the time that no client can beat: the exchanges, and MX and then
// address records, if DNS is asked in full.
func (c testCase) least(packets bool, dns time.Duration, questions int) time.Duration {
	if c.rtt == 0 {
		return 0
	}
	return time.Duration(c.exchanges(packets))*c.rtt + time.Duration(questions)*dns
}

// planOf is all cases that o asks for, the quick networks first.
func planOf(o options) ([]testCase, error) {
	var plan []testCase
	for _, r := range strings.Split(o.rtts, ",") {
		rtt, err := time.ParseDuration(r)
		if err != nil {
			return nil, fmt.Errorf("rtt: %w", err)
		}
		for _, s := range strings.Split(o.modes, ",") {
			m, err := parseMode(s)
			if err != nil {
				return nil, err
			}
			for _, s := range strings.Split(o.inFlight, ",") {
				n, err := strconv.Atoi(s)
				if err != nil || n < 1 {
					return nil, fmt.Errorf("inflight: %q is no number of deliveries", s)
				}
				plan = append(plan, testCase{m, rtt, n})
			}
		}
	}
	if o.rounds < 1 || o.size < 1 || o.mx < 1 {
		return nil, fmt.Errorf("rounds, size and mx must be at least 1")
	}
	return plan, nil
}
