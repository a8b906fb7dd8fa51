package inbound

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/fdconn"
)

// Queue is how to run qmail-queue, or the program that QMAILQUEUE names.
type Queue struct {
	Home string // where it runs; bin/qmail-queue and a relative QMAILQUEUE are below it
	Env  *Env   // its environment
	// Patience is how long it may do nothing visible; 0 is an hour. A client
	// waits ten minutes (RFC 5321 §4.5.3.2.6), so more saves no mail.
	Patience time.Duration
}

// Times a queue program has, when Queue does not say.
const (
	queuePatience = time.Hour
	queueGrace    = 30 * time.Second // to see that it gets no envelope
)

// Exit codes of qmail-queue(8) that stand for what happens on our side.
const (
	queueReadError   = 54
	queueTimeout     = 52
	queueNoHome      = 61
	queueInternalBug = 81
	queueNoProgram   = 120
)

// maxQueueText bounds what a queue program says on descriptor 6.
const maxQueueText = 255

// Handoff is one message on its way into the queue. It is written, and then
// closed with its envelope; or abandoned, and then it is in no queue: the
// envelope's last byte is what a queue program waits for.
type Handoff struct {
	PID int // of the queue program; 0 if there is none

	message, envelope, said int // our ends of its pipes; -1 when closed
	patience                time.Duration
	failed                  int    // exit code that our own failure is worth; 0: none
	exited                  int    // pidfd_open(2), or -1
	text                    []byte // what it said
}

// Open starts the queue program. An error is a lack of processes or
// descriptors. A program that cannot be run is known only when the message is
// closed. Compat(qmail): so it is where fork and exec are two things.
func (q Queue) Open() (*Handoff, error) {
	h := &Handoff{message: -1, envelope: -1, said: -1, exited: -1, patience: q.Patience}
	if h.patience <= 0 {
		h.patience = queuePatience
	}
	var pipes [3][2]int
	for i := range pipes {
		if err := unix.Pipe2(pipes[i][:], unix.O_CLOEXEC); err != nil {
			for _, p := range pipes[:i] {
				unix.Close(p[0])
				unix.Close(p[1])
			}
			return nil, err
		}
	}
	h.message, h.envelope, h.said = pipes[0][1], pipes[1][1], pipes[2][0]
	err := h.start(q, pipes[0][0], pipes[1][0], pipes[2][1])
	for _, fd := range [3]int{pipes[0][0], pipes[1][0], pipes[2][1]} {
		unix.Close(fd)
	}
	if err != nil {
		h.hangUp()
		return nil, err
	}
	for _, fd := range [3]int{h.message, h.envelope, h.said} {
		if err := unix.SetNonblock(fd, true); err != nil {
			h.Abandon()
			return nil, err
		}
	}
	return h, nil
}

// start starts the program with the other ends of our pipes.
func (h *Handoff) start(q Queue, message, envelope, said int) error {
	program, set := q.Env.Lookup("QMAILQUEUE")
	if !set {
		program = "bin/qmail-queue"
	}
	files := fdconn.Inherited(7)
	files[0], files[1], files[2], files[6] = message, envelope, 2, said
	child := fdconn.Child{Path: program, Args: []string{program}, Env: *q.Env, Dir: q.Home, Files: files}
	pid, err := child.Start()
	switch {
	case err == nil:
		h.PID = pid
		if fd, err := unix.PidfdOpen(pid, 0); err == nil { // close-on-exec by itself
			h.exited = fd
		}
	case err == syscall.EAGAIN || err == syscall.ENOMEM || err == syscall.EMFILE || err == syscall.ENFILE:
		return err
	case unix.Access(q.Home, unix.X_OK) != nil:
		h.failed = queueNoHome
	default:
		h.failed = queueNoProgram
	}
	return nil
}

// Write gives the program content. It never fails: after trouble it takes the
// rest and forgets it, for the client has to be heard to the end.
func (h *Handoff) Write(p []byte) (int, error) {
	h.put(h.message, p)
	return len(p), nil
}

// put writes all of b to one of our pipes, unless something has failed.
func (h *Handoff) put(fd int, b []byte) {
	deadline := time.Now().Add(h.patience)
	for len(b) > 0 && h.failed == 0 {
		n, err := unix.Write(fd, b)
		switch {
		case err == nil:
			b = b[n:]
			deadline = time.Now().Add(h.patience)
		case err == unix.EINTR:
		case err != unix.EAGAIN:
			h.failed = queueReadError // it has closed its end: its exit code will tell
		case !await(deadline, unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}):
			h.failed = queueTimeout
		}
	}
}

// await waits for one of fds until deadline and tells whether there was one.
func await(deadline time.Time, fds ...unix.PollFd) bool {
	for {
		wait := min(max(time.Until(deadline).Milliseconds()+1, 0), 1<<30)
		n, err := unix.Poll(fds, int(wait))
		if n > 0 || err != nil && err != unix.EINTR {
			return true // an error of poll(2) becomes one of whatever is tried next
		}
		if !time.Now().Before(deadline) {
			return false
		}
	}
}

// Close gives the program the envelope and waits for its end. It returns ""
// when the message is in the queue, and else "D" or "Z", for permanent and
// temporary, and what to tell the client.
func (h *Handoff) Close(sender string, rcpts []string) string {
	if h.failed == 0 && (hasNUL(sender) || slices.ContainsFunc(rcpts, hasNUL)) {
		h.failed = queueInternalBug
	}
	h.shut(&h.message)
	var b []byte
	b = append(append(append(b, 'F'), sender...), 0)
	for _, rcpt := range rcpts {
		b = append(append(append(b, 'T'), rcpt...), 0)
		if len(b) > 32<<10 {
			h.put(h.envelope, b)
			b = b[:0]
		}
	}
	h.put(h.envelope, append(b, 0))
	h.shut(&h.envelope)
	patience := h.patience
	if h.failed != 0 {
		patience = min(patience, queueGrace)
	}
	code := h.end(patience)
	if h.failed == queueTimeout || code == 0 {
		code = h.failed
	}
	return verdict(code, h.text)
}

func hasNUL(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// Abandon lets the program see the end of what it reads, without an envelope,
// and waits for it to go. After Close it does nothing.
func (h *Handoff) Abandon() {
	h.shut(&h.message)
	h.shut(&h.envelope)
	h.end(min(h.patience, queueGrace))
}

// killed stands for a death by signal, and lost for a process that cannot be
// waited for; they are no exit codes.
const (
	killed = -1
	lost   = -2
)

// end reads what the program says until it has gone, and gives its exit code:
// 0 also when there is no program.
//
// One that stays is killed, if we may. What was not closed with its envelope
// it cannot have queued.
func (h *Handoff) end(patience time.Duration) int {
	defer h.hangUp()
	if h.said < 0 || h.PID == 0 {
		return 0
	}
	deadline := time.Now().Add(patience)
	for open := true; open || h.exited >= 0; {
		fds := make([]unix.PollFd, 0, 2)
		if h.exited >= 0 {
			fds = append(fds, unix.PollFd{Fd: int32(h.exited), Events: unix.POLLIN})
		}
		if open {
			fds = append(fds, unix.PollFd{Fd: int32(h.said), Events: unix.POLLIN})
		}
		if !await(deadline, fds...) {
			unix.Kill(h.PID, unix.SIGKILL)
			h.failed = queueTimeout
			return 0 // not waited for: it may be another user's, and not ours to kill
		}
		gone := h.exited >= 0 && fds[0].Revents != 0 // first: what it said before is there
		open = open && h.listen()
		if gone {
			break
		}
	}
	return h.status()
}

// listen reads what there is to read from the program, and tells whether there
// may be more.
func (h *Handoff) listen() bool {
	buf := make([]byte, 512)
	for {
		n, err := unix.Read(h.said, buf)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return true
		case err != nil || n == 0:
			return false
		default:
			h.text = append(h.text, buf[:min(n, maxQueueText-len(h.text))]...)
		}
	}
}

func (h *Handoff) status() int {
	var ws syscall.WaitStatus
	for {
		_, err := syscall.Wait4(h.PID, &ws, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return lost
		case ws.Signaled():
			return killed
		default:
			return ws.ExitStatus()
		}
	}
}

// hangUp closes what is open.
func (h *Handoff) hangUp() {
	for _, fd := range [4]*int{&h.message, &h.envelope, &h.said, &h.exited} {
		h.shut(fd)
	}
}

func (h *Handoff) shut(fd *int) {
	if *fd >= 0 {
		unix.Close(*fd)
		*fd = -1
	}
}

// verdict is what an exit code of qmail-queue(8) means to the client.
func verdict(code int, text []byte) string {
	switch code {
	case 0:
		return ""
	case killed:
		return "Zqq crashed (#4.3.0)"
	case lost:
		return "Zqq waitpid surprise (#4.3.0)"
	case 11, 115:
		return "Denvelope address too long for qq (#5.1.3)"
	case 31:
		return "Dmail server permanently rejected message (#5.3.0)"
	case 72:
		return "Zconnection to mail server timed out (#4.4.1)"
	case 73:
		return "Zconnection to mail server rejected (#4.4.1)"
	case 74:
		return "Zcommunication with mail server failed (#4.4.2)"
	case 82:
		if own := ownWords(text); own != "" {
			return own
		}
	}
	if 11 <= code && code <= 40 {
		return "Dqq permanent problem (#5.3.0)"
	}
	return "Z" + trouble(code) + " (#4.3.0)"
}

// trouble is a temporary problem of the queue's own.
func trouble(code int) string {
	switch code {
	case 51:
		return "qq out of memory"
	case 52:
		return "qq timeout"
	case 53:
		return "qq write error or disk full"
	case 54:
		return "qq read error"
	case 55:
		return "qq unable to read configuration"
	case 56:
		return "qq trouble making network connection"
	case 61:
		return "qq trouble in home directory"
	case 62, 63, 64, 65, 66:
		return "qq trouble creating files in queue"
	case 71:
		return "mail server temporarily rejected message"
	case 81, 91:
		return "qq internal bug"
	case 120:
		return "unable to exec qq"
	}
	return "qq temporary problem"
}

// ownWords is what the program itself said, "D" or "Z" and a text, as one line;
// "" if it is not fit for a reply.
func ownWords(text []byte) string {
	if len(text) <= 2 || text[0] != 'D' && text[0] != 'Z' {
		return ""
	}
	text = bytes.TrimRight(text, "\r\n")
	for i, c := range text {
		if c < ' ' || c == 0x7f { // a line end, above all
			text[i] = ' '
		}
	}
	if len(text) == 1 {
		return ""
	}
	return string(text)
}

var _ io.Writer = (*Handoff)(nil)
