package resolver

import "errors"

// String is the kind in words, for people.
func (k Kind) String() string {
	switch k {
	case NotFound:
		return "no such name"
	case NoData:
		return "no such records"
	case Temporary:
		return "no answer for now"
	}
	return "unknown"
}

// Error is a line for people; callers branch on Kind.
func (e *Error) Error() string {
	s := e.Type + " of " + e.Name + ": " + e.Kind.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// KindOf is the kind of err: zero for nil, and Temporary for an error that is
// not of this package, since only a definite answer may bounce mail.
func KindOf(err error) Kind {
	if err == nil {
		return 0
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return Temporary
}

// Why a name could not be asked about, or an answer not be used.
var (
	errName     = errors.New("not a domain name")
	errGarbled  = errors.New("garbled answer")
	errNonsense = errors.New("answer contradicts itself")
	errLame     = errors.New("server neither knows nor asks")
	errChain    = errors.New("too many CNAMEs")
	errCut      = errors.New("answer cut off")
	errAlien    = errors.New("answer to another question")
)

// rcodeError is a refusal of the server's (RFC 1035 §4.1.1, RFC 6891 §6.1.3).
type rcodeError int

func (e rcodeError) Error() string {
	switch e {
	case rcodeFormErr:
		return "server says FORMERR"
	case rcodeServFail:
		return "server says SERVFAIL"
	case rcodeNotImp:
		return "server says NOTIMP"
	case rcodeRefused:
		return "server says REFUSED"
	case rcodeBadVers:
		return "server says BADVERS"
	}
	return "server says an unknown error"
}
