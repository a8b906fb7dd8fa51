// Package job is what qmail-remote tells qmail-remote-io about a conversation
// beside its command line, as bytes for a pipe. It may hold a password.
//
// It knows its own fields and netstrings, nothing of processes or SMTP.
package job

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"postrider/internal/smtp"
	"postrider/smtpc"
)

// Job is the part of a delivery that does not stand in argv.
type Job struct {
	Params smtpc.Params       // without TLS, which whoever did the handshake knows
	Creds  *smtpc.Credentials // nil: no AUTH
	// Greeting: TLS is implicit, and the greeting is still to come.
	Greeting bool
	ASCII    *smtp.Envelope // Envelope.ASCII; its own ASCII is left out
}

// Max bounds a job in bytes; the ASCII forms of thousands of recipients are its bulk.
const Max = 16 << 20

// ErrMalformed is a job that nobody wrote, or not to its end.
var ErrMalformed = errors.New("the job is malformed")

// AppendTo appends the job as netstrings (length, ":", bytes, ",") of which the
// first byte says what the others are:
//
//	h helohost          t milliseconds       H HELO only      C no BDAT
//	M a plain MAIL
//	G greeting to come  u user               p password       c in clear too
//	s sender, ASCII     r recipient, ASCII   . the end
func (j *Job) AppendTo(dst []byte) []byte {
	dst = field(dst, 'h', j.Params.Helo)
	dst = field(dst, 't', strconv.FormatInt(j.Params.Timeout.Milliseconds(), 10))
	dst = flag(dst, 'H', j.Params.HeloOnly)
	dst = flag(dst, 'C', j.Params.NoChunking)
	dst = flag(dst, 'M', j.Params.Plain)
	dst = flag(dst, 'G', j.Greeting)
	if j.Creds != nil {
		dst = field(dst, 'u', j.Creds.User)
		dst = field(dst, 'p', j.Creds.Password)
		dst = flag(dst, 'c', j.Creds.Clear)
	}
	if j.ASCII != nil {
		dst = field(dst, 's', j.ASCII.Sender)
		for _, r := range j.ASCII.Rcpts {
			dst = field(dst, 'r', r)
		}
	}
	return flag(dst, '.', true)
}

func field(dst []byte, key byte, value string) []byte {
	dst = strconv.AppendInt(dst, int64(len(value))+1, 10)
	dst = append(append(dst, ':', key), value...)
	return append(dst, ',')
}

func flag(dst []byte, key byte, set bool) []byte {
	if !set {
		return dst
	}
	return field(dst, key, "")
}

// Parse reads one whole job. Without its end a job is malformed: its writer has
// died. So is one with a field that this version does not know.
func Parse(b []byte) (Job, error) {
	var j Job
	for len(b) <= Max {
		text, rest, ok := netstring(b)
		if !ok || len(text) == 0 {
			break
		}
		b = rest
		if text[0] == '.' {
			if len(text) > 1 || len(b) != 0 || j.Params.Timeout <= 0 {
				break
			}
			return j, nil
		}
		if !j.set(text[0], string(text[1:])) {
			break
		}
	}
	return Job{}, ErrMalformed
}

func (j *Job) set(key byte, value string) bool {
	switch key {
	case 'h':
		j.Params.Helo = value
	case 't':
		n, err := strconv.ParseUint(value, 10, 42) // 139 years
		j.Params.Timeout = time.Duration(n) * time.Millisecond
		return err == nil
	case 'H':
		j.Params.HeloOnly = true
	case 'C':
		j.Params.NoChunking = true
	case 'M':
		j.Params.Plain = true
	case 'G':
		j.Greeting = true
	case 'u':
		j.Creds = &smtpc.Credentials{User: value}
	case 'p', 'c':
		return j.setCred(key, value)
	case 's':
		j.ASCII = &smtp.Envelope{Sender: value}
	case 'r':
		if j.ASCII == nil {
			return false
		}
		j.ASCII.Rcpts = append(j.ASCII.Rcpts, value)
	default:
		return false
	}
	return true
}

// setCred sets what belongs to the user that came before.
func (j *Job) setCred(key byte, value string) bool {
	if j.Creds == nil {
		return false
	}
	if key == 'p' {
		j.Creds.Password = value
	} else {
		j.Creds.Clear = true
	}
	return true
}

func netstring(b []byte) (text, rest []byte, ok bool) {
	digits, _, ok := bytes.Cut(b[:min(len(b), 10)], []byte{':'})
	if !ok || len(digits) == 0 || digits[0] == '+' {
		return nil, nil, false
	}
	n, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil {
		return nil, nil, false
	}
	rest = b[len(digits)+1:]
	if uint64(len(rest)) <= n || rest[n] != ',' {
		return nil, nil, false
	}
	return rest[:n], rest[n+1:], true
}
