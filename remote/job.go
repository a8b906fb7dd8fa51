package remote

import (
	"cmp"
	"net/netip"
	"strings"

	"golang.org/x/net/idna"

	"postrider/internal/report"
	"postrider/internal/smtp"
)

// Job is one delivery: a message for recipients at one host.
type Job struct {
	// Host is where the mail goes: a name in lower-case A-labels without final
	// dot, or an address literal in brackets as given.
	Host string
	// Written, if set, is Host as it was given, where that is ASCII: reports name
	// it so. Compat(qmail).
	Written  string
	Envelope smtp.Envelope
	Message  *smtp.Message
	// Seal, if set, gives the envelope at the last moment, when MAIL is about to
	// be said: others may have joined the delivery since (see Plan.Key). It may
	// be called again, and then says the same.
	Seal func() smtp.Envelope
	// Follow, if set, gives a job that may begin behind this one's content; it is
	// asked when so many transactions have gone over the conversation. See Next.
	Follow func(transactions int) *Next
	// Ride, if set, is where this job has begun already.
	Ride *Ride
}

// envelope is the sealed envelope.
func (j *Job) envelope() smtp.Envelope {
	if j.Seal != nil {
		return j.Seal()
	}
	return j.Envelope
}

// written is Host for a report.
func (j *Job) written() string { return cmp.Or(j.Written, j.Host) }

// ParseJob makes a Job of qmail-remote's arguments (host sender recip …). The
// cause is Accepted when the job is sound. IDNA (RFC 5891, RFC 5895) is applied
// here and nowhere else; a recipient's domain is not rewritten by it: its
// A-labels are the alternative, for servers without SMTPUTF8.
func ParseJob(args []string, m *smtp.Message) (Job, report.Cause) {
	if len(args) < 3 {
		return Job{}, report.Usage
	}
	j := Job{Envelope: smtp.Envelope{Sender: args[1], Rcpts: args[2:]}, Message: m}
	for _, a := range args {
		if !smtp.SafeAddress(a) {
			return j, report.BadAddress
		}
	}
	host, ok := toASCII(strings.TrimSuffix(args[0], "."))
	j.Host = host
	if isASCII(args[0]) {
		j.Written = args[0]
	}
	if !ok {
		return j, report.NoSuchHost
	}
	if j.Envelope.NeedsUTF8() {
		j.Envelope.ASCII = asciiEnvelope(j.Envelope)
	}
	return j, report.Accepted
}

// toASCII gives a domain's A-labels in lower case; literals stay as they are.
func toASCII(domain string) (string, bool) {
	if isASCII(domain) || strings.HasPrefix(domain, "[") {
		return strings.ToLower(domain), true
	}
	a, err := idna.Lookup.ToASCII(domain)
	return a, err == nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] > 0x7f {
			return false
		}
	}
	return true
}

// asciiEnvelope is e with A-labels, nil when a local part is not ASCII.
func asciiEnvelope(e smtp.Envelope) *smtp.Envelope {
	a := smtp.Envelope{Rcpts: make([]string, len(e.Rcpts))}
	var ok bool
	if a.Sender, ok = asciiAddress(e.Sender); !ok {
		return nil
	}
	for i, r := range e.Rcpts {
		if a.Rcpts[i], ok = asciiAddress(r); !ok {
			return nil
		}
	}
	return &a
}

func asciiAddress(addr string) (string, bool) {
	at := strings.LastIndexByte(addr, '@')
	if at < 0 || !isASCII(addr[:at]) {
		return addr, isASCII(addr)
	}
	if isASCII(addr[at+1:]) {
		return addr, true // untouched, its case too
	}
	domain, ok := toASCII(addr[at+1:])
	return addr[:at+1] + domain, ok
}

// literal reads an address where a host may stand: [192.0.2.1],
// [IPv6:2001:db8::1], [2001:db8::1] (RFC 5321 §4.1.3), and bare addresses.
// Compat(qmail): stock takes a bare 192.0.2.1 as a host too.
func literal(host string) (netip.Addr, bool) {
	s, inside := strings.CutPrefix(host, "[")
	if inside {
		if s, inside = strings.CutSuffix(s, "]"); !inside {
			return netip.Addr{}, false
		}
		if len(s) > 5 && strings.EqualFold(s[:5], "IPv6:") {
			s = s[5:]
		}
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}
