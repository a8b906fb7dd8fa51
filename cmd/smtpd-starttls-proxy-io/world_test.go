package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"postrider/internal/proctest"
	"postrider/internal/smtptest"
)

// bin is where TestMain has built what is tested. self is the smtpd below it.
var bin, self string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "smtpd" {
		os.Exit(smtpd(os.Args[2:]))
	}
	self, _ = os.Executable()
	proctest.Main(m, &bin, "smtpd-starttls-proxy-io", "ucspi-tlsd", "ucspi-tlsd-io")
}

// patience bounds whatever a test waits for.
const patience = time.Minute

// smtpd answers "VERB=reply" to a verb. "|" in a reply is a line end; "exit N"
// and "signal N" end it, "flood N" is so many bytes, "deaf" closes what it hears,
// "dumb" what it says, "env" its environment. Descriptor 2 learns what it hears.
func smtpd(script []string) int {
	replies := map[string]string{"GREETING": "220 mx", "EHLO": "250-mx|250 8BITMIME", "QUIT": "221 mx|exit 33"}
	for _, s := range script {
		verb, reply, _ := strings.Cut(s, "=")
		replies[verb] = reply
	}
	code := -1
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
				os.Stdout.Write(bytes.Repeat([]byte("x"), n))
			case "deaf":
				os.Stdin.Close()
			case "dumb":
				os.Stdout.Close()
			case "env":
				for _, e := range os.Environ() {
					if strings.HasPrefix(e, "SSL") || strings.HasPrefix(e, "UCSPITLS") || strings.HasPrefix(e, "DISABLETLS") {
						os.Stdout.WriteString("250-" + e + "\r\n")
					}
				}
			default:
				os.Stdout.WriteString(line + "\r\n")
			}
		}
	}
	say("GREETING")
	for r := bufio.NewReader(os.Stdin); code < 0; {
		line, err := r.ReadString('\n')
		if err != nil {
			os.Stderr.WriteString("end\n")
			return 44
		}
		os.Stderr.WriteString("heard " + strings.TrimRight(line, "\r\n") + "\n")
		verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimRight(line, "\r\n")), " ")
		say(verb)
	}
	return code
}

// session is one smtpd with a client, and a helper that does UCSPI-TLS without
// TLS: the client goes on in clear on its pipes.
type session struct {
	smtptest.Client
	client *net.UnixConn
	helper *proctest.Helper
	cmd    *exec.Cmd
	log    bytes.Buffer
}

func begin(t *testing.T, env []string, script ...string) *session {
	t.Helper()
	return beginWith(t, env, append([]string{self, "smtpd"}, script...)...)
}

func beginWith(t *testing.T, env []string, prog ...string) *session {
	t.Helper()
	client, theirs := proctest.Socketpair(t)
	client.SetDeadline(time.Now().Add(patience))
	h := proctest.NewHelper(t)
	s := &session{Client: smtptest.NewClient(t, client), client: client, helper: h}
	s.cmd = exec.Command(filepath.Join(bin, "smtpd-starttls-proxy-io"), prog...)
	s.cmd.Env = append(append([]string{"PATH=/bin:/usr/bin"}, h.Env...), env...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr, s.cmd.ExtraFiles = theirs, theirs, &s.log, h.Files
	s.cmd.WaitDelay = patience
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	h.Given()
	return s
}

// over waits for every process of the session, and gives smtpd's exit code and
// the log.
func (s *session) over() (code int, log string) {
	s.T.Helper()
	if err := s.cmd.Wait(); err == exec.ErrWaitDelay {
		s.T.Errorf("a process is left behind: %s", s.log.String())
	}
	return s.cmd.ProcessState.ExitCode(), s.log.String()
}
