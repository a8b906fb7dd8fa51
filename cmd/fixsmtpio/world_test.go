package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/authtest"
	"postrider/internal/proctest"
	"postrider/internal/smtptest"
)

// bin is where TestMain has built what is tested. self is the program below it.
var bin, self string

func TestMain(m *testing.M) {
	authtest.Main()
	if len(os.Args) > 1 && os.Args[1] == "kid" {
		os.Exit(kid(os.Args[2:]))
	}
	self, _ = os.Executable()
	proctest.Main(m, &bin, "fixsmtpio", "qmail-authup", "ucspi-tlsd", "ucspi-tlsd-io")
}

// patience bounds whatever a test waits for.
const patience = time.Minute

// kid is an SMTP server: "VERB=reply" is what it answers to a verb, to GREETING
// at first, "." after content, TIMEOUT after a second without a line, EOF after
// the last. "|" in a reply is a line end, a reply "exit N" or "signal N" ends it
// so, "flood" is a million lines, "env", "fds" and "cwd" tell what it has,
// "silence" is none. It tells descriptor 2 what it hears.
func kid(script []string) int {
	signal.Ignore(syscall.SIGPIPE)
	replies := map[string]string{"GREETING": "220 kid ESMTP", "QUIT": "221 kid|exit 0", "EOF": "exit 1", "EHLO": "250-kid|250-PIPELINING|250-AUTH LOGIN|250 8BITMIME"}
	for _, s := range script {
		verb, reply, _ := strings.Cut(s, "=")
		replies[verb] = reply
	}
	code, data := -1, false
	say := func(verb string) {
		reply, known := replies[verb]
		if !known {
			reply = "250 ok"
		}
		for line := range strings.SplitSeq(reply, "|") {
			word, rest, _ := strings.Cut(line, " ")
			n, _ := strconv.Atoi(rest)
			switch word {
			case "exit":
				code = n
			case "signal":
				syscall.Kill(os.Getpid(), syscall.Signal(n))
				select {}
			case "flood":
				os.Stdout.WriteString(strings.Repeat("250 flood\r\n", 1<<20))
			case "env":
				for _, e := range os.Environ() {
					os.Stdout.WriteString("250-" + strings.ReplaceAll(e, "\n", "~") + "\r\n")
				}
			case "fds":
				for fd := range 64 { // what Go has opened itself is closed on exec
					if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
						os.Stdout.WriteString("250-descriptor " + strconv.Itoa(fd) + "\r\n")
					}
				}
			case "silence":
			case "cwd":
				dir, _ := os.Getwd()
				os.Stdout.WriteString("250-" + dir + "\r\n")
			default:
				os.Stdout.WriteString(line + "\r\n")
			}
			data = word == "354"
		}
	}
	say("GREETING")
	heard := make(chan string)
	go func() {
		defer close(heard)
		for r := bufio.NewReader(os.Stdin); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			heard <- line
		}
	}()
	var tired <-chan time.Time
	if _, known := replies["TIMEOUT"]; known {
		tired = time.After(time.Second)
	}
	for code < 0 {
		select {
		case line, more := <-heard:
			verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimRight(line, "\r\n")), " ")
			switch {
			case !more:
				heard = nil // once
				say("EOF")
			case data && line != ".\r\n":
				os.Stderr.WriteString("content " + strconv.Quote(line) + "\n")
			case data:
				say(".")
			default:
				os.Stderr.WriteString("heard " + line[:len(line)-2] + "\n")
				say(verb)
			}
		case <-tired:
			say("TIMEOUT")
		}
	}
	return code
}

// session is one fixsmtpio with a client.
type session struct {
	smtptest.Client
	client *net.UnixConn
	cmd    *exec.Cmd
	errors bytes.Buffer
}

// world is what a run begins in.
type world struct {
	control map[string]string // me is me.example
	env     []string
	extra   []*os.File
	prog    []string // instead of kid and its script
	script  []string
}

// home makes a qmail home.
func (w *world) home(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "control"), 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"me": "me.example\n"}
	for name, text := range w.control {
		files[name] = text
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, "control", name), []byte(text), 0o644); text != "absent" && err != nil {
			t.Fatal(err)
		}
		if text == "absent" {
			os.Remove(filepath.Join(dir, "control", name))
		}
	}
	return dir
}

func begin(t *testing.T, w world) *session {
	t.Helper()
	dir := w.home(t)
	if w.prog == nil {
		w.prog = append([]string{self, "kid"}, w.script...)
	}
	if w.prog[0] == "" {
		w.prog = nil
	}
	return launch(t, w, dir, filepath.Join(bin, "fixsmtpio"), w.prog...)
}

// launch starts a program with a client, in a world whose home is dir.
func launch(t *testing.T, w world, dir, program string, args ...string) *session {
	t.Helper()
	client, theirs := proctest.Socketpair(t)
	r := &session{Client: smtptest.NewClient(t, client), client: client, cmd: exec.Command(program, args...)}
	r.cmd.Stdin, r.cmd.Stdout, r.cmd.Stderr, r.cmd.ExtraFiles = theirs, theirs, &r.errors, w.extra
	r.cmd.Env = append([]string{"PATH=/bin:/usr/bin", "QMAILHOME=" + dir}, w.env...) // of two the last counts
	r.cmd.WaitDelay = patience
	client.SetDeadline(time.Now().Add(patience))
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	return r
}

// reply reads one reply.
func (r *session) reply() (lines []string) {
	for {
		line, err := r.R.ReadString('\n')
		if err != nil {
			return append(lines, err.Error())
		}
		if lines = append(lines, strings.TrimSpace(line[4:])); line[3] == ' ' {
			return lines
		}
	}
}

// over waits for the end and gives the exit code, and the log.
func (r *session) over() (code int, log string) {
	r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode(), r.errors.String()
}

// end ends what the client says and hears the rest.
func (r *session) end() (code int, log string) {
	r.client.CloseWrite()
	io.Copy(io.Discard, r.R)
	return r.over()
}
