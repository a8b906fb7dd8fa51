package main

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"

	"postrider/internal/chain/job"
	"postrider/internal/fdconn"
	"postrider/internal/qmtp"
	"postrider/internal/smtp"
	"postrider/internal/solo"
	"postrider/smtpc"
)

// chained is a delivery for qmail-remote, under ucspi-tlsc: the handshake is
// done. It returns 0 when the record was written.
//
// The result, a socket, carries marks and then the record
// (smtp.Transaction.AppendTo). A mark is one byte, 0x80 and a Stage: what has
// been reached if we do not live to write the record. AtDot is marked before the
// end of the content can leave us, and answered by a byte. A mark that cannot be
// written, or is not answered, means that nobody waits for the report, so that
// the message will be sent again: then it must not be sent now.
func chained(o options, getenv func(string) string) int {
	j, err := readJob(o.job)
	if err == nil {
		o.ASCII = j.ASCII
		if !o.safe() {
			err = job.ErrMalformed
		}
	}
	if err != nil {
		fdconn.WriteAll(2, []byte("qmail-remote-io: "+err.Error()+"\n"))
		return exitUsage
	}
	j.Params.TLS = security(getenv)
	result := marks{o.result}
	if result.mark(smtp.AtEHLO) != nil {
		return exitSystem
	}
	c, t := converse(context.Background(), &o, &j, result)
	t.TLS = j.Params.TLS
	if result.record(t) != nil {
		return exitSystem
	}
	if c != nil {
		c.Quit() // the verdict is in, whatever this does
	}
	return 0
}

// converse leaves a conversation in which QUIT can still be said.
func converse(ctx context.Context, o *options, j *job.Job, result marks) (*smtpc.Conn, smtp.Transaction) {
	message, err := openMessage()
	if err == nil {
		err = result.attach(message)
	}
	if err != nil {
		return nil, smtp.Transaction{Ending: smtp.Ending{Stage: smtp.AtEHLO, Fault: smtp.Unreadable, Detail: err.Error()}}
	}
	shared := func() (net.Conn, error) { return fdconn.New(o.in, o.out) }
	alone := func() (net.Conn, error) { return solo.Pipes(o.in, o.out, shared) }
	if o.qmtp {
		alone = shared
	}
	conn, err := alone()
	if err != nil {
		return nil, smtp.Transaction{Ending: smtp.Ending{Stage: smtp.AtEHLO, Fault: smtp.Dropped, Detail: err.Error()}}
	}
	if o.qmtp {
		if err := result.mark(smtp.AtMail); err != nil {
			return nil, orphaned(err)
		}
		return nil, qmtp.Send(ctx, conn, o.Envelope, message, j.Params.Timeout, j.Params.TLS)
	}
	c := smtpc.New(conn, j.Params)
	hello := c.Hello
	if j.Greeting {
		hello = c.Greet
	}
	if err := hello(ctx); err != nil {
		return c, ended(err)
	}
	if j.Creds != nil {
		if err := c.Auth(ctx, *j.Creds); err != nil {
			return c, ended(err)
		}
	}
	if err := result.mark(smtp.AtMail); err != nil {
		return nil, orphaned(err)
	}
	return c, c.Send(ctx, o.Envelope, message)
}

// orphaned is a conversation that nobody wants to hear of any more.
func orphaned(err error) smtp.Transaction {
	return smtp.Transaction{Ending: smtp.Ending{Stage: smtp.AtAuth, Fault: smtp.Dropped, Detail: err.Error()}}
}

func readJob(fd int) (job.Job, error) {
	f := os.NewFile(uintptr(fd), "job")
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, job.Max+1))
	if err != nil {
		return job.Job{}, err
	}
	return job.Parse(b)
}

// marks is the result.
type marks struct{ fd int }

func (m marks) mark(s smtp.Stage) error {
	return fdconn.WriteAll(m.fd, []byte{0x80 | byte(s)})
}

// end marks AtDot and waits for the leave to go on.
func (m marks) end() error {
	if err := m.mark(smtp.AtDot); err != nil {
		return err
	}
	var leave [1]byte
	for {
		n, err := syscall.Read(m.fd, leave[:])
		switch {
		case err == syscall.EINTR:
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			return nil
		}
	}
}

// record writes the record and closes its descriptor. It leaves out what no report
// can hold, so that the reader can bound what it takes.
func (m marks) record(t smtp.Transaction) error {
	t.Reply = cut(t.Reply)
	for i := range t.Rcpts {
		t.Rcpts[i] = cut(t.Rcpts[i])
	}
	if err := fdconn.WriteAll(m.fd, t.AppendTo(nil)); err != nil {
		return err
	}
	return os.NewFile(uintptr(m.fd), "result").Close()
}

// reported is how much of a reply a report holds at most.
const reported = 5000

func cut(r smtp.Reply) smtp.Reply {
	room := reported
	for i, line := range r.Lines {
		if len(line) >= room {
			r.Lines = append(r.Lines[:i:i], line[:room])
			break
		}
		room -= len(line) + 1
	}
	return r
}

// attach puts the mark AtDot before the last byte of the message: nobody can
// send the end of what he has not read to the end.
func (m marks) attach(message *smtp.Message) error {
	if !message.Again() {
		message.Stream = &lastMark{Reader: message.Stream, marks: m}
		return nil
	}
	if _, _, err := message.Facts(); err != nil { // they read to the end as well, once
		return err
	}
	if message.Size == 0 {
		return m.end()
	}
	message.At = &markedAt{ReaderAt: message.At, size: message.Size, marks: m}
	return nil
}

// markedAt is content that can be read at any place.
type markedAt struct {
	io.ReaderAt
	size int64
	marks
	done bool
}

func (r *markedAt) ReadAt(p []byte, off int64) (int, error) {
	if !r.done && off+int64(len(p)) >= r.size {
		if err := r.end(); err != nil {
			return 0, err
		}
		r.done = true
	}
	return r.ReaderAt.ReadAt(p, off)
}

// lastMark is content whose length nobody knows.
type lastMark struct {
	io.Reader
	marks
	done bool
}

func (r *lastMark) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err == io.EOF && !r.done {
		if merr := r.end(); merr != nil {
			return 0, merr
		}
		r.done = true
	}
	return n, err
}
