package smtp

import "io"

// Message is the content of a delivery as qmail stores it: lines that end in LF.
type Message struct {
	// At is the content from its first byte, Size bytes long, when it can be
	// read more than once (a regular file); else nil, and Stream is read once.
	At     io.ReaderAt
	Size   int64
	Stream io.Reader

	facts *Facts
}

// Facts is what must be known of a message before MAIL.
type Facts struct {
	// Wire is the length as RFC 1870 §3 counts it: with CRLF line ends, without
	// dot-stuffing and without the final dot.
	Wire           int64
	EightBit       bool // a byte over 0x7f anywhere
	EightBitHeader bool // a byte over 0x7f before the first empty line
	Partial        bool // the last line does not end with LF
}
