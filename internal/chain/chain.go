package chain

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postrider/internal/chain/job"
	"postrider/internal/fdconn"
	"postrider/internal/smtp"
	"postrider/remote"
)

// Chain is a remote.Converser. The zero value finds its programs in ".".
type Chain struct {
	Dir     func() string // where ucspi-tlsc and qmail-remote-io stand; asked only when they are wanted
	Message int           // descriptor of the message that Handover.Message reads
	// Heard reports whether somebody will still hear what became of a message;
	// nil is always.
	Heard func() bool
}

// Descriptors of the helpers beside 0 (the message), 1 (/dev/null) and 2 (a
// pipe to us: descriptor 2 of qmail-remote is its report).
const (
	jobFD    = 3
	resultFD = 4
	policyFD = 5
	readFD   = 6
	writeFD  = 7
)

const (
	// farewell is how long a helper that has reported may take for its QUIT.
	farewell = 2 * time.Second
	// longestHandshake is the largest number of milliseconds that ucspi-tlsc -K
	// takes, 24 days; timeoutremote may be longer.
	longestHandshake = 1<<31 - 1
	// defaultTimeout holds where Params have none (qmail-remote(8), timeoutremote).
	defaultTimeout = 1200 * time.Second
)

// Converse implements remote.Converser. What goes wrong on our side is TLSLocal
// where it happens before the handshake.
func (c *Chain) Converse(ctx context.Context, h *remote.Handover) *smtp.Transaction {
	defer h.Conn.Close()
	if ctx.Err() != nil {
		tx := atTLS(smtp.TimedOut, "")
		return &tx
	}
	if h.Params.Timeout < time.Millisecond {
		h.Params.Timeout = defaultTimeout
	}
	r, err := c.start(h)
	h.Conn.Close() // the helpers have their own descriptors of it, and must be the last
	if err != nil {
		tx := atTLS(smtp.TLSLocal, err.Error())
		return &tx
	}
	heard := c.Heard
	if heard == nil {
		heard = func() bool { return true }
	}
	tx := r.outcome(ctx, len(h.Envelope.Rcpts), heard)
	return &tx
}

func atTLS(fault smtp.Fault, detail string) smtp.Transaction {
	return smtp.Transaction{Ending: smtp.Ending{Stage: smtp.AtTLS, Fault: fault, Detail: detail}}
}

// start starts ucspi-tlsc with all that it and qmail-remote-io need.
func (c *Chain) start(h *remote.Handover) (*run, error) {
	policy, err := h.Policy.MarshalText()
	if err != nil {
		return nil, err
	}
	j := job.Job{Params: h.Params, Creds: h.Creds, Greeting: h.Policy.Implicit, ASCII: h.Envelope.ASCII}
	p, err := openPipes()
	if err != nil {
		return nil, err
	}
	p.policy.feed(policy)
	p.job.feed(j.AppendTo(nil))
	pid, err := c.launch(h, p)
	p.closeTheirs()
	if err != nil {
		p.closeOurs()
		return nil, errors.New("unable to run ucspi-tlsc: " + err.Error())
	}
	return &run{pipes: p, pid: pid}, nil
}

func (c *Chain) launch(h *remote.Handover, p *pipes) (pid int, err error) {
	sc, ok := h.Conn.(syscall.Conn)
	if !ok {
		return 0, errors.New("the connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	child := fdconn.Child{
		Path: c.path("ucspi-tlsc"), Args: c.arguments(h), Env: environment(os.Environ()),
		Group: true, Bound: true,
	}
	cerr := raw.Control(func(fd uintptr) {
		child.Files = []int{c.Message, p.null, p.theirs.stderr, p.theirs.job, p.theirs.result, p.theirs.policy, int(fd), int(fd)}
		pid, err = child.Start()
	})
	return pid, errors.Join(cerr, err)
}

func (c *Chain) path(program string) string {
	if c.Dir == nil {
		return "./" + program
	}
	return c.Dir() + "/" + program
}

// arguments is the command line of both helpers. Addresses stand there as they
// do on qmail-remote's own.
func (c *Chain) arguments(h *remote.Handover) []string {
	args := []string{
		"ucspi-tlsc", "-S", "-p", strconv.Itoa(policyFD), "-K", strconv.FormatInt(min(h.Params.Timeout.Milliseconds(), longestHandshake), 10),
		"-6", strconv.Itoa(readFD), "-7", strconv.Itoa(writeFD),
		c.path("qmail-remote-io"), "-j", strconv.Itoa(jobFD), "-r", strconv.Itoa(resultFD),
	}
	if h.QMTP {
		args = append(args, "-q")
	}
	args = append(args, "--", host(h.Conn), h.Envelope.Sender)
	return append(args, h.Envelope.Rcpts...)
}

// host is for who looks at ps(1).
func host(conn net.Conn) string {
	if a := conn.RemoteAddr(); a != nil {
		if h, _, err := net.SplitHostPort(a.String()); err == nil {
			return h
		}
	}
	return "peer"
}

// environment is ours. Helpers work on one connection, so one processor is
// enough for each, and starting is cheaper with one.
func environment(env []string) []string {
	for _, e := range env {
		if strings.HasPrefix(e, "GOMAXPROCS=") {
			return env
		}
	}
	return append(env, "GOMAXPROCS=1")
}
