package peers

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"postrider/internal/queuetest"
)

// flood is so many times the same.
func flood(text string, bytes int) io.Reader {
	return io.LimitReader(&repeated{text: text}, int64(bytes))
}

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		k := copy(p[n:], r.text[r.at:])
		n, r.at = n+k, (r.at+k)%len(r.text)
	}
	return n, nil
}

// S11, S12, S15: however much a client says, a program of ours stays small, says what it must, and ends; and whatever
// it had started ends, too.
func TestFloods(t *testing.T) {
	g := newGolden(t)
	const head = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\n"
	say := strings.NewReader
	queue := script(t, filepath.Join(directory(t, "queue"), "queue"), "#!/bin/sh\ncat >/dev/null; exec cat <&1 >/dev/null\n")
	for _, c := range []struct {
		name, chain string
		in          io.Reader
		says        string // the end of it
		exit, most  int    // MB
	}{
		{"a line without an end", "qmail-smtpd", flood("x", 64<<20), "500 line too long (#5.5.2)\r\n", 1, 24},
		{"NULs", "qmail-smtpd", flood("\x00", 64<<20), "500 line too long (#5.5.2)\r\n", 1, 24},
		{"a line without an end", "qmail-ofmipd", flood("x", 64<<20), "500 line too long (#5.5.2)\r\n", 1, 24},
		{"a line without an end", "qmail-authup smtp false", flood("x", 64<<20), "501 authup protocol exchange ended (#5.0.0)\r\n", 1, 24},
		{"a password without an end", "qmail-authup smtp false", io.MultiReader(say("AUTH PLAIN\r\n"), flood("AAAA", 64<<20)), "501 authup protocol exchange ended (#5.0.0)\r\n", 1, 24},
		{"a line without an end", "fixsmtpio qmail-smtpd", flood("x", 64<<20), "500 line too long (#5.5.2)\r\n", 1, 24},
		{"content", "qmail-smtpd", io.MultiReader(say(head+"DATA\r\n"), flood(strings.Repeat("x", 998)+"\r\n", 9600_000), say(".\r\nQUIT\r\n")), "221 me.example\r\n", 0, 24},
		{"content in one line", "qmail-smtpd", io.MultiReader(say(head+"DATA\r\n"), flood("x", 96<<20), say("\r\n.\r\nQUIT\r\n")), "221 me.example\r\n", 0, 24},
		{"content", "qmail-ofmipd", io.MultiReader(say(head+"DATA\r\n\r\n"), flood(strings.Repeat("x", 998)+"\r\n", 9600_000), say(".\r\nQUIT\r\n")), "250 ok\r\n221 me.example\r\n", 0, 24},
		{"a header", "qmail-ofmipd", io.MultiReader(say(head+"DATA\r\n"), flood("X: "+strings.Repeat("x", 995)+"\r\n", 48_000_000), say(".\r\nQUIT\r\n")), "552 sorry, that header is too large (#5.3.4)\r\n221 me.example\r\n", 0, 64},
		{"content", "fixsmtpio qmail-smtpd", io.MultiReader(say(head+"DATA\r\n"), flood(strings.Repeat("x", 998)+"\r\n", 9600_000), say(".\r\nQUIT\r\n")), "221 me.example\r\n", 0, 24},
		{"recipients", "qmail-smtpd", io.MultiReader(say(head), flood("RCPT TO:<recipient@example.net>\r\n", 10_000*33), say("DATA\r\n.\r\nQUIT\r\n")), "221 me.example\r\n", 0, 24},
		{"recipients beyond measure", "qmail-smtpd", io.MultiReader(say(head), flood("RCPT TO:<"+strings.Repeat("x", 880)+">\r\n", 40_000*892), say("QUIT\r\n")), "452 too many recipients (#4.5.3)\r\n221 me.example\r\n", 0, 96},
		{"commands", "qmail-smtpd", io.MultiReader(flood("NOOP\r\n", 600_000), say("QUIT\r\n")), "250 ok\r\n221 me.example\r\n", 0, 24},
	} {
		t.Run(c.chain+"/"+c.name, func(t *testing.T) {
			home := queuetest.New(t)
			home.Control(t, "smtpcapabilities", "8BITMIME\n")
			argv := append(append([]string{"/usr/bin/env"}, home.Env("", "")...), "PATH="+g.path, "QMAILQUEUE="+queue, "sh", "-c", "exec "+c.chain)
			cmd := exec.Command(argv[0], argv[1:]...)
			var said bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.WaitDelay = c.in, &said, patience
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			size := largest(cmd.Process.Pid)
			cmd.Wait()
			out := said.Bytes()
			last := string(out[max(0, len(out)-len(c.says)):])
			if last != c.says || cmd.ProcessState.ExitCode() != c.exit || size > c.most {
				t.Errorf("%d MB, exit %d, want %d; %q, want %q", size, cmd.ProcessState.ExitCode(), c.exit, last, c.says)
			}
		})
	}
	gone(t)
}

// largest looks at a process until it has ended, and gives the most memory that it has been seen to have had, in MB.
// What wait(2) tells would count us, before exec.
func largest(pid int) (size int) {
	for ; ; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, found := strings.Cut(string(b), "\nVmHWM:")
		if err != nil || !found {
			return size
		}
		var kB int
		fmt.Sscan(rest, &kB)
		size = (kB + 1023) / 1024
	}
}

// gone waits until no process of the inbound half is there.
func gone(t *testing.T) {
	t.Helper()
	for _, name := range append(ours(), "fixsmtpio", "qmail-queue") {
		for limit := time.Now().Add(patience); len(owners(t, name)) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(limit) {
				t.Errorf("%s is left behind", name)
				break
			}
		}
	}
}

// Clients that go away in every way, and wherever: nobody waits for them.
func TestGoneClients(t *testing.T) {
	m := newMX(t)
	m.all()
	ways := map[string]func(*net.TCPConn){
		"close":      func(c *net.TCPConn) { c.Close() },
		"reset":      func(c *net.TCPConn) { c.SetLinger(0); c.Close() },
		"half close": func(c *net.TCPConn) { c.CloseWrite() },
	}
	const mail, auth = "MAIL FROM:<a@b>\r\nRCPT TO:<you@example.net>\r\nDATA\r\nSubject: x\r\n", "AUTH PLAIN\r\n"
	in := "AUTH PLAIN AGFubgBzZXNhbWUtNDgxNTE2MjM0Mg==\r\n"
	var all sync.WaitGroup
	for way, leave := range ways {
		for _, c := range []struct {
			port, clear, secure string // what is said, and what under TLS; "-" is no TLS
		}{
			{"25", "", "-"}, {"25", "NO", "-"}, {"25", mail, "-"}, {"25", "STARTTLS\r\n", "-"}, {"25", "STARTTLS\r\n\x16\x03\x01\x02\x00\x01", "-"},
			{"25", "STARTTLS\r\n", ""}, {"25", "STARTTLS\r\n", mail}, {"587", "STARTTLS\r\n", auth}, {"587", "STARTTLS\r\n", in + "EHLO x\r\n"},
			{"587", "STARTTLS\r\n", in + mail}, {"465", "", "-"}, {"465", "", in + mail}, {"110", "STLS\r\n", "USER ann\r\n"},
			{"110", "STLS\r\n", "USER ann\r\nPASS " + password + "\r\n"},
		} {
			all.Go(func() {
				conn, err := net.Dial("tcp", mxAddr+":"+c.port)
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				conn.SetDeadline(time.Now().Add(patience))
				raw := conn.(*net.TCPConn)
				reply := make([]byte, 1000)
				if c.port != "465" {
					conn.Read(reply)
				}
				io.WriteString(conn, c.clear)
				if c.clear != "" && c.clear != "NO" {
					conn.Read(reply)
				}
				if c.secure != "-" {
					secure := tls.Client(conn, m.trust())
					if err := secure.Handshake(); err != nil {
						t.Errorf("%s, %+v: %v", way, c, err)
					}
					if io.WriteString(secure, c.secure); c.secure != "" {
						secure.Read(reply)
					}
				}
				leave(raw)
				if way == "half close" {
					io.Copy(io.Discard, raw) // to the end, which must come
				}
			})
		}
	}
	all.Wait()
	gone(t)
	for _, got := range m.home.Messages(t) {
		if got.Taken {
			t.Errorf("%+v", got)
		}
	}
	m.secrets()
}
