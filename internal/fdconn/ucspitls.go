package fdconn

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Records is what a UCSPI-TLS helper says about the session it has begun:
// "NAME=value" sets NAME, "NAME" alone unsets it. Only names that begin with
// SSL_ are kept; the helper has no business with other variables.
type Records []string

// Get returns the last value of name, or "".
func (rs Records) Get(name string) string {
	value := ""
	for _, r := range rs {
		n, v, _ := strings.Cut(r, "=")
		if n == name {
			value = v
		}
	}
	return value
}

// maxBlock bounds the answer of a helper. OpenSSL's holds certificates in PEM,
// several KB; 64 KiB is far more than was ever seen.
const maxBlock = 64 << 10

// Errors of StartTLS.
var (
	ErrHandshake = errors.New("the TLS helper reports no session")
	ErrBlock     = errors.New("the TLS helper's answer is not UCSPI-TLS")
)

// ReadByte is the next byte of fd, which is how a helper hears its command: 0 at the end, and where fd cannot be read.
func ReadByte(fd int) byte {
	var b [1]byte
	for {
		n, err := syscall.Read(fd, b[:])
		if err == syscall.EINTR {
			continue
		}
		if n != 1 {
			return 0
		}
		return b[0]
	}
}

// ParseRecords reads the answer to "Y": records that end in NUL, and one more
// NUL. That last one may be missing where the helper closed the socket instead.
// No bytes at all are ErrHandshake: this is how a helper says that it failed.
func ParseRecords(block []byte) (Records, error) {
	if len(block) == 0 {
		return nil, ErrHandshake
	}
	if len(block) > maxBlock || block[len(block)-1] != 0 {
		return nil, ErrBlock
	}
	var rs Records
	for len(block) > 0 {
		record, rest, _ := bytes.Cut(block, []byte{0})
		block = rest
		if len(record) == 0 && len(bytes.Trim(block, "\x00")) > 0 {
			return nil, ErrBlock // the block was over, and yet goes on
		}
		if bytes.HasPrefix(record, []byte("SSL_")) {
			rs = append(rs, string(record))
		}
	}
	return rs, nil
}

// TLSFDs are the descriptors that a UCSPI-TLS helper offers its program.
type TLSFDs struct{ Ctl, Read, Write int }

// Offered finds SSLCTLFD, SSLREADFD and SSLWRITEFD by getenv. All three must be
// there, decimal and above 0.
func Offered(getenv func(string) string) (fds TLSFDs, ok bool) {
	number := func(name string) int {
		n, err := strconv.ParseUint(getenv(name), 10, 31)
		if err != nil {
			return 0
		}
		return int(n)
	}
	fds = TLSFDs{number("SSLCTLFD"), number("SSLREADFD"), number("SSLWRITEFD")}
	return fds, fds.Ctl > 0 && fds.Read > 0 && fds.Write > 0
}

// StartTLS tells the helper to begin TLS ("Y") and waits at most timeout for
// its answer. The connection it returns carries cleartext; the raw socket is the
// helper's from the moment of the call, whatever becomes of it.
func StartTLS(fds TLSFDs, timeout time.Duration) (*Conn, Records, error) {
	conn, err := New(fds.Read, fds.Write)
	if err != nil {
		return nil, nil, err
	}
	ctl := conn.fileOf(fds)
	if ctl == nil {
		if ctl, err = open(fds.Ctl); err != nil {
			conn.Close()
			return nil, nil, err
		}
		conn.ctl = ctl
	}
	records, err := ask(ctl, timeout)
	if err != nil {
		conn.Close()
		return nil, nil, err
	}
	return conn, records, nil
}

// fileOf returns the File that already holds the control descriptor: the three
// numbers may legally be one.
func (c *Conn) fileOf(fds TLSFDs) *os.File {
	switch fds.Ctl {
	case fds.Read:
		return c.r
	case fds.Write:
		return c.w
	}
	return nil
}

// Ask tells the helper to begin TLS ("Y") and waits at most timeout for its
// answer. It leaves the descriptors where they are, and in blocking mode: the
// caller moves those for cleartext to where its connection was.
func Ask(fds TLSFDs, timeout time.Duration) (Records, error) {
	// A File made of a duplicate: it is closed here, and the helper must not
	// take that for the program's end (ucspi-ssl does).
	fd, err := syscall.Dup(fds.Ctl)
	if err != nil {
		return nil, os.NewSyscallError("dup", err)
	}
	syscall.CloseOnExec(fd)
	ctl, err := open(fd)
	if err != nil {
		syscall.Close(fd)
		return nil, err
	}
	defer func() {
		syscall.SetNonblock(fds.Ctl, false) // one with the cleartext's, maybe
		ctl.Close()
	}()
	return ask(ctl, timeout)
}

// ask stops at two NULs and does not wait for an end of file: ucspi-ssl keeps
// its end of the socket open.
func ask(ctl *os.File, timeout time.Duration) (Records, error) {
	if err := ctl.SetDeadline(time.Now().Add(timeout)); err != nil {
		return nil, err
	}
	if _, err := ctl.Write([]byte{'Y'}); err != nil {
		return nil, asNet("write", err)
	}
	block := make([]byte, 0, 1024)
	for !bytes.HasSuffix(block, []byte{0, 0}) {
		if len(block) > maxBlock {
			return nil, ErrBlock
		}
		block = append(block, make([]byte, 1024)...)
		n, err := ctl.Read(block[len(block)-1024:])
		block = block[:len(block)-1024+n]
		if err == io.EOF || errors.Is(err, syscall.ECONNRESET) {
			break
		}
		if err != nil {
			return nil, asNet("read", err)
		}
	}
	if err := ctl.SetDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return ParseRecords(block)
}
