// Package queuetest is for tests of whoever gives mail to qmail-queue: a qmail
// home whose bin/qmail-queue writes down, byte for byte, what it was given, and
// does otherwise what the test wants.
//
// It knows qmail-queue's side of the hand-off. It does not know who is on the
// other. Production code never imports it.
package queuetest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// script is qmail-queue. As the real one does, it exits with 54 when the
// envelope has no end.
const script = `#!/bin/sh
eval "$QUEUE_FIRST"
n=0
while ! mkdir "$QUEUE_HOME/queue/$n" 2>/dev/null; do n=$((n+1)); done
cd "$QUEUE_HOME/queue/$n" || exit 61
cat >message
cat <&1 >envelope
case $(tail -c 2 envelope | od -An -tx1) in *"00 00") ;; *) exit 54 ;; esac
env >env
eval "$QUEUE_THEN"
>taken
`

// Home is a qmail home. Its path has no symbolic link in it.
type Home string

// New makes a home, gone with the test, whose control/me is me.example.
func New(t testing.TB) Home {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{"bin", "control", "queue"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	h := Home(dir)
	h.Control(t, "me", "me.example\n")
	// A process forked meanwhile would hold the script open for writing, and
	// then it could not be run (ETXTBSY).
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(h.path("bin/qmail-queue"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h Home) path(name string) string { return filepath.Join(string(h), name) }

// Control writes a control file.
func (h Home) Control(t testing.TB, name, content string) {
	t.Helper()
	if err := os.WriteFile(h.path("control/"+name), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Env is what the queue program needs in its environment, and what it shall do:
// shell commands before it reads anything, and when it has read all. Without
// either it takes the message.
func (h Home) Env(first, then string) []string {
	return []string{
		"QMAILHOME=" + string(h), "QUEUE_HOME=" + string(h), "PATH=/usr/bin:/bin",
		"QUEUE_FIRST=" + first, "QUEUE_THEN=" + then,
	}
}

// Message is one that a queue program was started for.
type Message struct {
	Content  string
	Envelope string
	Env      string // a line each; "" where the envelope had no end
	Taken    bool   // the program went on to exit with 0
}

// Messages are those given since New, in order. All must have ended.
func (h Home) Messages(t testing.TB) []Message {
	t.Helper()
	var list []Message
	for n := 0; ; n++ {
		dir := "queue/" + strconv.Itoa(n) + "/"
		if _, err := os.Stat(h.path(dir)); errors.Is(err, fs.ErrNotExist) {
			return list
		}
		_, err := os.Stat(h.path(dir + "taken"))
		list = append(list, Message{
			Content: h.read(t, dir+"message"), Envelope: h.read(t, dir+"envelope"),
			Env: h.read(t, dir+"env"), Taken: err == nil,
		})
	}
}

// Only is the one message given, which was taken.
func (h Home) Only(t testing.TB) Message {
	t.Helper()
	list := h.Messages(t)
	if len(list) != 1 || !list[0].Taken {
		t.Fatalf("not one message taken, but %+v", list)
	}
	return list[0]
}

func (h Home) read(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(h.path(name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return string(b)
}

// Envelope is a sender and recipients as qmail-queue(8) wants them.
func Envelope(sender string, rcpts ...string) string {
	return "F" + sender + "\x00T" + strings.Join(rcpts, "\x00T") + "\x00\x00"
}
