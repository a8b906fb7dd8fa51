package smtp

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Message is the content of a delivery as qmail stores it: lines that end in LF.
type Message struct {
	// At is the content from its first byte, Size bytes long, when it can be
	// read more than once (a regular file); else nil, and Stream is read once.
	At     io.ReaderAt
	Size   int64
	Stream io.Reader
	// Modified is when the file was last written; zero where that is unknown.
	Modified time.Time

	rooms *Rooms
	short bool            // to be held in memory: see Whole
	whole *[maxWhole]byte // the content, once it is
	facts *Facts
	spent bool // Stream has been handed out
}

// Facts is what must be known of a message before MAIL.
type Facts struct {
	// Wire is the length as RFC 1870 §3 counts it: with CRLF line ends, without
	// dot-stuffing and without the final dot.
	Wire           int64
	EightBit       bool // a byte over 0x7f anywhere
	EightBitHeader bool // a byte over 0x7f before the first empty line
	HeaderNotUTF8  bool // and some of those are no UTF-8
	Partial        bool // the last line does not end with LF
}

// OpenMessage returns the message that f gives from its offset on. A regular
// file can be read again, and f's offset is left alone; all else is a Stream.
// f stays the caller's and must stay open. A directory, a closed descriptor
// and one that is not open for reading are errors.
func OpenMessage(f *os.File) (*Message, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	if err := readable(f); err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	if !info.Mode().IsRegular() {
		return &Message{Stream: f}, nil
	}
	offset, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	size := info.Size() - offset
	if size < 0 {
		return nil, fmt.Errorf("open message: offset %d: %w", offset, errShrunk)
	}
	return &Message{At: io.NewSectionReader(f, offset, size), Size: size, Modified: info.ModTime()}, nil
}

// maxWhole is the longest message that is held in memory, in bytes: most are
// shorter, and all that are under way at once are a few megabytes.
const maxWhole = 16 << 10

// Rooms is memory for short messages, of which many are on their way at once, and
// each needs it for a moment. The zero value is ready, for concurrent use.
type Rooms struct{ content, wire sync.Pool }

// ReadMessage is OpenMessage for a regular file that is open for reading and at
// its beginning. A short one is read at once when anything of it is needed.
func ReadMessage(f *os.File, r *Rooms) (*Message, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open message: %w", err)
	}
	return &Message{At: f, Size: info.Size(), Modified: info.ModTime(), rooms: r, short: info.Size() <= maxWhole}, nil
}

// Whole is the content, where it is short and can be read. Nobody may change it,
// or keep it beyond Forget.
func (m *Message) Whole() (content []byte, ok bool) {
	if m.short && m.whole == nil {
		whole, _ := m.rooms.content.Get().(*[maxWhole]byte)
		if whole == nil {
			whole = new([maxWhole]byte)
		}
		m.whole = whole
		if _, err := io.ReadFull(m.Reader(), whole[:m.Size]); err != nil {
			m.Forget()
			return nil, false // who reads on will be told
		}
	}
	if m.whole == nil {
		return nil, false
	}
	return m.whole[:m.Size], true
}

// Forget gives back the memory of what Whole gave. The content is read again if
// it is needed again.
func (m *Message) Forget() {
	if m.whole != nil {
		m.rooms.content.Put(m.whole)
		m.whole = nil
	}
}

// Encoded gives do what head says and, behind it, the content of a message that
// can be read again, as e makes it travel; then the content is forgotten. All of
// it, and the room behind it, is do's until do returns. ErrPartialLine is as of
// Encoder.Close; a file whose length on the wire is no more what Facts told is an
// error too, where there are no dots.
func (m *Message) Encoded(head []byte, e Encoder, do func(wire []byte)) error {
	room := new([]byte)
	content, ok := m.Whole()
	if ok {
		if used, _ := m.rooms.wire.Get().(*[]byte); used != nil {
			room = used
		}
		defer m.rooms.wire.Put(room)
	} else {
		content = make([]byte, m.Size)
		if _, err := io.ReadFull(m.Reader(), content); err != nil {
			return err
		}
	}
	wire := slices.Grow(append((*room)[:0], head...), len(content)+len(content)/16)
	wire, err := e.Close(e.Append(wire, content))
	*room = wire
	m.Forget()
	if err == nil && e.NoDots && m.facts != nil && int64(len(wire)-len(head)) != m.facts.Wire {
		err = errChanged
	}
	if err == nil {
		do(wire)
	}
	return err
}

// readable asks the kernel whether f can be read, by reading nothing: that
// neither waits nor uses anything up, and fails with EBADF or EISDIR.
func readable(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var readErr error
	err = conn.Control(func(fd uintptr) { _, readErr = syscall.Read(int(fd), nil) })
	return errors.Join(err, readErr)
}

// Again reports whether Reader can be called more than once.
func (m *Message) Again() bool { return m.At != nil }

// Reader returns the content from its first byte. It ends with io.EOF only
// after Size bytes: a file that became shorter is an error, not a shorter
// message. A Stream is given out once; what is returned after that fails at
// the first Read, because to read on would send an empty message.
func (m *Message) Reader() io.Reader {
	switch {
	case m.At != nil:
		return &sizedReader{at: m.At, size: m.Size}
	case m.Stream == nil || m.spent:
		return failedReader{errSpent}
	}
	m.spent = true
	return m.Stream
}

// Facts examines the message at the first call that succeeds. They are not
// known of a Stream.
func (m *Message) Facts() (f Facts, known bool, err error) {
	if !m.Again() {
		return Facts{}, false, nil
	}
	if m.facts == nil {
		if err := m.examine(); err != nil {
			return Facts{}, false, err
		}
	}
	return *m.facts, true, nil
}

func (m *Message) examine() error {
	if content, ok := m.Whole(); ok {
		var x examiner
		x.add(content)
		m.facts = &x.facts
		return nil
	}
	facts, err := examine(m.Reader(), min(m.Size+1, glance))
	if err == nil {
		m.facts = &facts
	}
	return err
}

var (
	errShrunk  = errors.New("message is shorter than it was")
	errChanged = errors.New("message is not what it was")
	errSpent   = errors.New("message can be read only once")
)

type failedReader struct{ err error }

func (r failedReader) Read([]byte) (int, error) { return 0, r.err }

// sizedReader reads size bytes of at, no more and no fewer.
type sizedReader struct {
	at        io.ReaderAt
	off, size int64
	err       error
}

func (r *sizedReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if r.off >= r.size {
		return 0, io.EOF
	}
	n, err := r.at.ReadAt(p[:min(int64(len(p)), r.size-r.off)], r.off)
	r.off += int64(n)
	if r.off >= r.size {
		return n, nil // ReadAt may say io.EOF with the last bytes
	}
	if errors.Is(err, io.EOF) {
		err = errShrunk
	}
	r.err = err
	return n, err
}
