package smtp

import "strings"

// Reply is one whole reply (RFC 5321 §4.2): the code, and every line as it
// came, code included, line end excluded. Lines are the peer's bytes, unclean.
type Reply struct {
	Code  int      // 200–599; 0 when there is no reply
	Lines []string // "250-mx.example", "250 SIZE 1000000"
}

// Positive, Intermediate, Transient and Permanent are the classes 2yz to 5yz.
func (r Reply) Positive() bool     { return r.Code/100 == 2 }
func (r Reply) Intermediate() bool { return r.Code/100 == 3 }
func (r Reply) Transient() bool    { return r.Code/100 == 4 }
func (r Reply) Permanent() bool    { return r.Code/100 == 5 }

// String gives all lines with their codes, joined by newlines.
func (r Reply) String() string { return strings.Join(r.Lines, "\n") }

// ProtocolError is a peer that does not speak SMTP.
type ProtocolError struct {
	What string // what is wrong, for people
	Line string // the offending bytes, unclean, cut at a few hundred
}

func (e *ProtocolError) Error() string { return "smtp: " + e.What }
