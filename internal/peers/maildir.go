package peers

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Message is one delivered copy: one recipient of one transaction.
type Message struct {
	Sender    string // without angle brackets; empty for the null sender
	Recipient string
	Trace     string // the Received field the peer added; tells ESMTP, ESMTPS, ESMTPSA, UTF8SMTPS (RFC 3848, RFC 6531)
	Text      string // header and body as received, lines ending in LF, without the fields the peer put in front
}

// readMaildir returns what was delivered into the maildir so far; a box not yet made is empty.
func readMaildir(t testing.TB, dir string) []Message {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "new", "*"))
	if err != nil {
		t.Fatal(err)
	}
	var all []Message
	for _, n := range names {
		b, err := os.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, parseDelivered(string(b)))
	}
	return all
}

// parseDelivered takes off the fields a final delivery agent puts before a message, up to and with the peer's own
// Received; what comes after is the client's.
func parseDelivered(text string) Message {
	var m Message
	for {
		field, rest := cutField(text)
		name, value, ok := strings.Cut(field, ":")
		if !ok {
			m.Text = text
			return m
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(name) {
		case "return-path":
			m.Sender = strings.Trim(value, "<>")
		case "delivered-to", "envelope-to":
			m.Recipient = value
		case "x-original-to":
		case "received":
			m.Trace, m.Text = value, rest
			return m
		default:
			m.Text = text
			return m
		}
		text = rest
	}
}

// cutField splits off the first header field with its continuation lines.
func cutField(text string) (field, rest string) {
	end := 0
	for {
		i := strings.IndexByte(text[end:], '\n')
		if i < 0 {
			return text, ""
		}
		end += i + 1
		if end == len(text) || (text[end] != ' ' && text[end] != '\t') {
			return text[:end], text[end:]
		}
	}
}
