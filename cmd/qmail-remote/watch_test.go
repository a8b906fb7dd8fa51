package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"postrider/internal/smtp"
)

// TestDeaf: the end of a message cannot be read for a report that nobody reads;
// its beginning can, and all of it while somebody does.
func TestDeaf(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	const text = "Subject: x\n\nhello\n"
	m := &smtp.Message{At: &watched{ReaderAt: strings.NewReader(text), size: int64(len(text)), report: int(w.Fd())}, Size: int64(len(text))}
	if _, _, err := m.Facts(); err != nil {
		t.Errorf("with a reader: %v", err)
	}
	r.Close()
	if _, err := m.At.ReadAt(make([]byte, 5), 0); err != nil {
		t.Errorf("the beginning: %v", err)
	}
	if _, err := m.At.ReadAt(make([]byte, 5), int64(len(text))-5); !errors.Is(err, errDeaf) {
		t.Errorf("the end: %v", err)
	}
	f, err := os.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if deaf(int(f.Fd())) {
		t.Error("what is no pipe cannot lose its reader")
	}
}
