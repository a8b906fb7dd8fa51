package authup

import (
	"bytes"
	"encoding/base64"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"postrider/inbound"
)

// spoken is every line that can come before somebody is let in.
var spoken = regexp.MustCompile(`^(220 me ESMTP|250[ -](me|AUTH LOGIN PLAIN|ok)|221 me|214 authup is Postrider's: see qmail-authup\(8\)|334( [A-Za-z0-9=]+| )` +
	`|502 unimplemented \(#5\.5\.1\)|[45]\d\d authup [A-Za-z ,]+ \(#[45]\.\d\.\d\)` +
	`|\+OK( |\ <1\.0@me>| capability list follows)|USER|\.|-ERR (STLS not available|authup [A-Za-z ,]+))$`)

// FuzzSession: whatever a client sends, it hears lines that we know, the session
// ends, and what is to be given to checkpassword is what checkpassword can read.
func FuzzSession(f *testing.F) {
	for _, s := range []string{
		"EHLO x\r\nAUTH PLAIN AHUAcA==\r\n", "AUTH LOGIN\r\ndXNlcg==\r\ncGFzcw==\r\nQUIT\r\n", "AUTH PLAIN\r\n*\r\n",
		"auth plain =\r\nauth login dQA=\r\nAUTH PLAIN AHUAcAB=\r\n", "AUTH LOGIN A\r\n", "AUTH  PLAIN  AHUAcA==\n\n\r\n \r\n", "USER u\r\nPASS  p \r\nCAPA\r\n",
		"USER \x00\r\nPASS\r\nSTLS\r\nSTARTTLS\r\nNOOP", "AUTH PLAIN " + strings.Repeat("A", 700) + "\r\n", "AUTH PLA\u0131N AHUAcA==\r\n",
	} {
		f.Add([]byte(s), false)
		f.Add([]byte(s), true)
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer null.Close()
	f.Fuzz(func(t *testing.T, in []byte, pop bool) {
		if len(in) > 1<<16 {
			return // more than a socket holds
		}
		c := Config{Protocol: SMTP, Greeting: "me", Patience: time.Minute, Command: []string{"no-such-program"}}
		if pop {
			c.Protocol = POP3
		}
		ours, theirs := wire(t, false)
		go func() { theirs.Write(in); theirs.Close() }()
		said := make(chan string)
		go func() { b, _ := io.ReadAll(theirs); said <- string(b) }()
		code := Serve(c, World{Wire: &inbound.Descriptors{In: ours[0], Out: ours[1]}, Errors: int(null.Fd()), Env: inbound.Env{"PATH=/nowhere"}, PID: 1, Now: time.Unix(0, 0)}, nil)
		for _, fd := range ours {
			os.NewFile(uintptr(fd), "").Close()
		}
		if code != 0 && code != 1 {
			t.Errorf("exit %d", code)
		}
		for line := range strings.Lines(<-said) {
			if text, ok := strings.CutSuffix(line, "\r\n"); !ok || !spoken.MatchString(text) {
				t.Errorf("says %q", line)
			}
		}
		checkDecoding(t, in)
	})
}

// checkDecoding: what decode takes is what base64 makes, and a credential, made
// of it, is two strings that NUL can end.
func checkDecoding(t *testing.T, text []byte) {
	plain, err := decode(text)
	if err != nil {
		return
	}
	if got := base64.StdEncoding.EncodeToString(plain); got != string(text) {
		t.Errorf("%q was taken for %q", text, got)
	}
	if w, err := word(text); err == nil && (len(w) == 0 || bytes.IndexByte(w, 0) >= 0) {
		t.Errorf("LOGIN has %q", w)
	}
	var c credential
	if c.split(plain) != nil {
		return
	}
	s := &session{}
	if b := s.block(&c); b != nil && (len(b) > maxBlock || bytes.Count(b, []byte{0}) != 3 || !bytes.HasSuffix(b, []byte("\x00\x00"))) {
		t.Errorf("block %q", b)
	}
}
