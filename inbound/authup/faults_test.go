package authup

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"postrider/inbound"
)

func itoa(n int) string { return strconv.Itoa(n) }

// home is a qmail home with these control files.
func home(t *testing.T, files map[string]string) fs.FS {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "control"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "control", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return os.DirFS(dir)
}

// TestSilence: S6, S10. A client that waits too long, or drips, is told so.
func TestSilence(t *testing.T) {
	for _, c := range []struct {
		reason string
		k      talk
		client func(io.ReadWriteCloser)
		want   string
	}{
		{"says nothing", submission(), func(io.ReadWriteCloser) {}, "451 authup timeout (#4.4.2)\r\n"},
		{"says nothing of its password", submission(), func(c io.ReadWriteCloser) { io.WriteString(c, "AUTH LOGIN\r\n") }, "451 authup timeout (#4.4.2)\r\n"},
		{"drips", submission(), drip, "451 authup timeout (#4.4.2)\r\n"},
		{"POP3", popbox(), func(io.ReadWriteCloser) {}, "-ERR authup timeout\r\n"},
		{"qmail-popup", talk{Config: Config{Protocol: POP3, Popup: true}}, func(io.ReadWriteCloser) {}, "+OK <18154.1795174845@>\r\n"},
	} {
		c.k.Patience = 200 * time.Millisecond
		r := c.k.hold(t, false, c.client)
		if !strings.HasSuffix(r.said, c.want) || r.code != 1 {
			t.Errorf("%s: exit %d, %q", c.reason, r.code, r.said)
		}
	}
}

// drip sends a byte now and then, for as long as somebody takes it.
func drip(c io.ReadWriteCloser) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := io.WriteString(c, "N"); err != nil {
			return
		}
	}
}

// TestNotReading: a client that does not read is not waited for.
func TestNotReading(t *testing.T) {
	k := submission()
	k.Patience = 200 * time.Millisecond
	r := k.hold(t, true, func(c io.ReadWriteCloser) {
		for {
			if _, err := io.WriteString(c, strings.Repeat("HELP\r\n", 100)); err != nil {
				return
			}
		}
	})
	if r.code != 1 {
		t.Errorf("exit %d", r.code)
	}
}

// TestBlob: S8. A megabyte for a password is refused in words that arrive.
func TestBlob(t *testing.T) {
	blob := strings.Repeat("QUFB", 1<<18)
	for reason, sends := range map[string]string{
		"initial":   "AUTH PLAIN " + blob + "\r\nNOOP\r\n",
		"challenge": "AUTH PLAIN\r\n" + blob + "\r\n",
		"a command": blob + "\r\n",
		"for ever":  blob + blob + blob,
	} {
		for _, pipes := range []bool{false, true} {
			r := submission().hold(t, pipes, inPieces(sends, len(sends)))
			if !strings.HasSuffix(r.said, "501 authup protocol exchange ended (#5.0.0)\r\n") || r.code != 1 || r.saw[0] != "" {
				t.Errorf("%s: exit %d, %q", reason, r.code, r.said)
			}
		}
	}
	// The longest that is heard.
	line := "AUTH PLAIN " + strings.Repeat("A", inbound.MaxLine-13)
	r := submission().hold(t, false, inPieces(line+"\r\nQUIT\r\n", 1<<20))
	if !strings.HasSuffix(r.said, "501 authup malformed auth input (#5.5.4)\r\n221 me.example\r\n") {
		t.Errorf("%d bytes: %q", len(line)+2, r.said)
	}
}

// TestGuessing: S9. A refusal takes its time, the same for whoever does not exist.
func TestGuessing(t *testing.T) {
	k := submission()
	k.Refusal = 300 * time.Millisecond
	for _, user := range []string{"u", "nobody", "exit111"} {
		begun := time.Now()
		r := k.hold(t, false, inPieces("AUTH PLAIN "+encode(`\0`+user+`\0wrong`)+"\r\nQUIT\r\n", 1<<20))
		if took := time.Since(begun); took < k.Refusal || !strings.HasSuffix(r.said, "535 authup authorization failed (#5.7.0)\r\n221 me.example\r\n") {
			t.Errorf("%s: %v, %q", user, took, r.said)
		}
	}
}

// TestForgets: a password is not in memory when its attempt is over.
func TestForgets(t *testing.T) {
	heard := make([]byte, 0, inbound.MaxLine)
	ours, theirs := wire(t, false)
	s := &session{
		Config: submission().Config,
		World:  World{Wire: &inbound.Descriptors{In: ours[0], Out: ours[1], Patience: time.Minute}, Env: inbound.Env{"PATH=/nowhere"}, Errors: int(open(t, filepath.Join(t.TempDir(), "log")).Fd())},
		heard:  heard, room: make([]byte, 0, maxBlock), left: 1,
	}
	s.wire = &lines{wire: s.Wire}
	s.conn = inbound.NewConn(s.wire)
	io.WriteString(theirs, "AUTH LOGIN dQ==\r\ncGFzcw==\r\n")
	if code := s.run(nil); code != 1 { // there is no checkpassword
		t.Errorf("exit %d", code)
	}
	for i, b := range heard[:cap(heard)] {
		if b != 0 {
			t.Fatalf("%q is left at %d", b, i)
		}
	}
	who := credential{[]byte("u"), []byte("p")}
	block := s.block(&who)
	if string(block) != "u\x00p\x00\x00" {
		t.Fatalf("%q", block)
	}
	s.left = 1
	s.attempt(&who)
	if who.pass[0] != 0 {
		t.Error("the password is left")
	}
}

// TestFind is execvp's search.
func TestFind(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/tool", "b/tool", "b/other", "here"} {
		os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755)
		mode := os.FileMode(0o755)
		if name == "a/tool" {
			mode = 0o644
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	os.Mkdir(filepath.Join(dir, "a/other"), 0o755)
	for _, c := range []struct{ prog, path, want string }{
		{"tool", dir + "/a:" + dir + "/b", dir + "/b/tool"},
		{"other", dir + "/a:" + dir + "/b", dir + "/b/other"},
		{"tool", "a:b", "b/tool"},
		{"here", "a::b", "./here"},
		{"here", "a:b", ""},
		{"./b/tool", "", "./b/tool"},
		{"sh", "", "/bin/sh"},
		{"no-such-tool", "", ""},
	} {
		if got := find(c.prog, c.path, dir); got != c.want {
			t.Errorf("%s in %q: %q, want %q", c.prog, c.path, got, c.want)
		}
	}
}
