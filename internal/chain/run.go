package chain

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/smtp"
)

// run is one ucspi-tlsc under way, with qmail-remote-io below it.
type run struct {
	*pipes
	pid  int
	note []byte // what the helpers have said on descriptor 2, no more than maxNote

	mu     sync.Mutex
	reaped bool // pid is no longer ours to signal; under mu
}

// maxResult bounds what the result pipe gives: qmail-remote-io cuts each reply
// to what a report can hold.
func maxResult(rcpts int) int64 { return 64<<10 + int64(rcpts)*6<<10 }

// maxNote bounds what the helpers say on descriptor 2.
const maxNote = 4 << 10

// outcome waits for the record, or for the end of the helpers, or for ctx, and
// leaves no process behind.
func (r *run) outcome(ctx context.Context, rcpts int, heard func() bool) smtp.Transaction {
	stop := context.AfterFunc(ctx, r.kill)
	result, err := r.listen(maxResult(rcpts), heard)
	if err != nil {
		r.kill()
	}
	shut(&r.result)
	due := time.Now().Add(farewell)
	timer := time.AfterFunc(farewell, r.kill)
	for said := true; said && r.stderr != closed; {
		if _, said = r.wait(due); said {
			r.drain()
		}
	}
	status := r.reap()
	timer.Stop()
	killed := !stop()
	if r.stderr != closed {
		r.drain()
	}
	r.closeOurs()
	return conclude(result, ending{status: status, late: killed, note: firstLine(r.note)})
}

// mayEnd is the mark of who is about to send the end of the content. He waits
// for leave: one byte.
const mayEnd = 0x80 | byte(smtp.AtDot)

var (
	errUnheard = errors.New("nobody reads the report")
	errTooMuch = errors.New("more than a record")
)

// listen reads the marks and the record. The leave to end the content is given
// once, unless nobody would hear what becomes of the message: then it will be
// sent again, and must not be sent now.
func (r *run) listen(limit int64, heard func() bool) (result []byte, err error) {
	buf := make([]byte, 4<<10)
	for marks, left := true, true; ; {
		there, said := r.wait(time.Time{})
		if said {
			r.drain()
		}
		if !there {
			continue
		}
		n, err := syscall.Read(r.result, buf)
		switch {
		case err == syscall.EINTR || err == syscall.EAGAIN:
			continue
		case err != nil:
			return result, os.NewSyscallError("read", err)
		case n == 0:
			return result, nil
		}
		result = append(result, buf[:n]...)
		for _, b := range buf[:n] {
			marks = marks && b&0x80 != 0
			switch {
			case !marks || b != mayEnd || !left:
			case !heard():
				return result, errUnheard
			default:
				left = false
				syscall.Write(r.result, []byte{mayEnd}) // who is gone needs none
			}
		}
		if int64(len(result)) > limit {
			return result, errTooMuch
		}
	}
}

// kill ends both helpers. It may come at any time.
func (r *run) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.reaped {
		syscall.Kill(-r.pid, syscall.SIGKILL)
	}
}

// reap waits for ucspi-tlsc and makes sure that nobody of its group outlives
// it. Until it is reaped, the group's number belongs to no one else.
func (r *run) reap() syscall.WaitStatus {
	for unix.Waitid(unix.P_PID, r.pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	r.kill()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reaped = true
	var status syscall.WaitStatus
	for {
		if _, err := syscall.Wait4(r.pid, &status, 0, nil); err != syscall.EINTR {
			return status
		}
	}
}

// drain reads what there is on the helpers' descriptor 2, and closes it at its end.
// What goes beyond a note is forgotten: nobody is to wait for us.
func (r *run) drain() {
	var buf [512]byte
	for {
		n, err := syscall.Read(r.stderr, buf[:])
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return
		case err != nil || n == 0:
			shut(&r.stderr)
			return
		default:
			r.note = append(r.note, buf[:min(n, maxNote-len(r.note))]...)
		}
	}
}

// firstLine is what a helper has to say, without its name.
func firstLine(note []byte) string {
	line, _, _ := strings.Cut(string(note), "\n")
	line = strings.TrimPrefix(line, "ucspi-tlsc: ")
	return strings.TrimSpace(line)
}

// ending is what is known of the helpers when they are gone.
type ending struct {
	status syscall.WaitStatus // of ucspi-tlsc, which hands on qmail-remote-io's
	late   bool               // ctx ended first
	note   string             // what was said on descriptor 2
}

// tlsError is the exit code of ucspi-tlsc for a handshake that failed.
const tlsError = 98

// conclude turns what the result pipe gave into the outcome.
func conclude(result []byte, e ending) smtp.Transaction {
	mark, result, known := lastMark(result)
	t, err := smtp.ParseTransaction(result)
	switch {
	case err == nil && known && plausible(&t, mark):
		if t.Fault == smtp.Dropped && t.Detail == "" {
			t.Detail = e.note // the TLS alert that ended it, say
		}
		return t
	case len(result) == 0 && known && mark == smtp.AtTLS:
		return beforeMark(e)
	case len(result) > 0 || !known:
		mark = smtp.AtDot // where bytes cannot be trusted, marks cannot either
	}
	t = smtp.Transaction{Ending: smtp.Ending{Stage: mark, Fault: smtp.Dropped, Detail: e.why()}}
	if e.late {
		t.Fault = smtp.TimedOut
	}
	return t
}

// lastMark is how far the conversation went, AtTLS without a mark, and what stands
// behind the marks; known is false where one is among them that nobody makes.
func lastMark(result []byte) (mark smtp.Stage, rest []byte, known bool) {
	mark, known = smtp.AtTLS, true
	for ; len(result) > 0 && result[0]&0x80 != 0; result = result[1:] {
		switch at := smtp.Stage(result[0] &^ 0x80); {
		case at != smtp.AtEHLO && at != smtp.AtMail && at != smtp.AtDot:
			known = false
		case mark != smtp.AtDot: // that of an empty message's end comes first
			mark = at
		}
	}
	return mark, result, known
}

// plausible reports whether the record agrees with the marks: what was never
// begun is not accepted.
func plausible(t *smtp.Transaction, mark smtp.Stage) bool {
	return mark == smtp.AtDot || mark >= smtp.AtEHLO && t.Stage < smtp.AtDot
}

// beforeMark is the outcome when qmail-remote-io said nothing: of TLS, mostly.
func beforeMark(e ending) smtp.Transaction {
	switch {
	case e.late:
		return atTLS(smtp.TimedOut, e.why())
	case e.status.ExitStatus() == tlsError, strings.HasPrefix(e.note, "panic:"):
		// A panic is answered as a broken handshake is: the peer may have
		// provoked it. Any other death is for want of something here, and
		// that must not send mail in clear.
		return atTLS(smtp.TLSFailed, e.why())
	}
	return atTLS(smtp.TLSLocal, e.why())
}

func (e ending) why() string {
	switch {
	case e.note != "":
		return e.note
	case e.status.Signaled():
		return "the TLS helper was killed by signal " + strconv.Itoa(int(e.status.Signal()))
	}
	return "the TLS helper exited " + strconv.Itoa(e.status.ExitStatus())
}
