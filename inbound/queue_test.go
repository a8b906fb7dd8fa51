package inbound

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"postrider/internal/queuetest"
)

// open starts the queue program of a home, which shall do first and then.
func open(t *testing.T, home queuetest.Home, patience time.Duration, first, then string) *Handoff {
	t.Helper()
	env := Env(home.Env(first, then))
	h, err := Queue{Home: string(home), Env: &env, Patience: patience}.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Abandon)
	return h
}

func TestQueue(t *testing.T) {
	home := queuetest.New(t)
	h := open(t, home, time.Minute, `pwd >"$QUEUE_HOME/cwd"`, "")
	content := strings.Repeat("\x00\xff a line\n", 30_000) // more than a pipe holds
	for rest := content; rest != ""; rest = rest[min(len(rest), 7777):] {
		h.Write([]byte(rest[:min(len(rest), 7777)]))
	}
	var rcpts []string
	for i := range 10_000 {
		rcpts = append(rcpts, "rcpt"+strconv.Itoa(i)+"@there")
	}
	if h.PID <= 0 {
		t.Error("no process")
	}
	if trouble := h.Close("me@here", rcpts); trouble != "" {
		t.Fatal(trouble)
	}
	m := home.Only(t)
	if m.Content != content || m.Envelope != queuetest.Envelope("me@here", rcpts...) {
		t.Errorf("%d bytes, envelope of %d", len(m.Content), len(m.Envelope))
	}
	if cwd, _ := os.ReadFile(string(home) + "/cwd"); string(cwd) != string(home)+"\n" {
		t.Errorf("it ran in %q, not %q", cwd, home)
	}
	h.Abandon() // after all that: nothing
	if trouble := h.Close("me@here", rcpts); trouble == "" {
		t.Error("a message is in the queue twice")
	}
	if trouble := open(t, home, time.Minute, "", "").Close("", []string{""}); trouble != "" {
		t.Errorf("an empty message: %s", trouble)
	}
}

// Descriptors of the program are the three of qmail-queue(8), our standard
// error, and nothing of our own.
func TestQueueDescriptors(t *testing.T) {
	home := queuetest.New(t)
	h := open(t, home, time.Minute, `ls -l /proc/$$/fd | sed 's/.* \([0-9]*\) -> \([a-z/]*\).*/\1 \2/' >"$QUEUE_HOME/fds"`, "")
	if trouble := h.Close("", []string{"a"}); trouble != "" {
		t.Fatal(trouble)
	}
	list, err := os.ReadFile(string(home) + "/fds")
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for line := range strings.Lines(string(list)) {
		fd, what, _ := strings.Cut(strings.TrimSpace(line), " ")
		have[fd] = what
	}
	for _, fd := range []string{"0", "1", "6"} {
		if have[fd] != "pipe" {
			t.Errorf("%s is %q", fd, have[fd])
		}
	}
	for fd, what := range have {
		n, err := strconv.Atoi(fd)
		if err != nil || n <= 6 || what != "pipe" {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(n), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC != 0 {
			t.Errorf("%d is a pipe, and not one that was given to us", n)
		}
	}
}

// S21: what each exit code means. Those not named are permanent from 11 to 40
// and temporary otherwise.
func TestQueueVerdicts(t *testing.T) {
	named := map[int]string{
		0:  "",
		11: "Denvelope address too long for qq (#5.1.3)", 115: "Denvelope address too long for qq (#5.1.3)",
		31: "Dmail server permanently rejected message (#5.3.0)",
		51: "Zqq out of memory (#4.3.0)", 52: "Zqq timeout (#4.3.0)", 53: "Zqq write error or disk full (#4.3.0)",
		54: "Zqq read error (#4.3.0)", 55: "Zqq unable to read configuration (#4.3.0)",
		56: "Zqq trouble making network connection (#4.3.0)", 61: "Zqq trouble in home directory (#4.3.0)",
		62: "Zqq trouble creating files in queue (#4.3.0)", 63: "Zqq trouble creating files in queue (#4.3.0)",
		64: "Zqq trouble creating files in queue (#4.3.0)", 65: "Zqq trouble creating files in queue (#4.3.0)",
		66: "Zqq trouble creating files in queue (#4.3.0)",
		71: "Zmail server temporarily rejected message (#4.3.0)",
		72: "Zconnection to mail server timed out (#4.4.1)", 73: "Zconnection to mail server rejected (#4.4.1)",
		74: "Zcommunication with mail server failed (#4.4.2)",
		81: "Zqq internal bug (#4.3.0)", 91: "Zqq internal bug (#4.3.0)", 120: "Zunable to exec qq (#4.3.0)",
		killed: "Zqq crashed (#4.3.0)", lost: "Zqq waitpid surprise (#4.3.0)",
	}
	for code := lost; code < 256; code++ {
		want, ok := named[code]
		switch {
		case !ok && 11 <= code && code <= 40:
			want = "Dqq permanent problem (#5.3.0)"
		case !ok:
			want = "Zqq temporary problem (#4.3.0)"
		}
		if got := verdict(code, nil); got != want {
			t.Errorf("%d: %q, want %q", code, got, want)
		}
	}
}

// The same, of real processes that have read everything.
func TestQueueEnds(t *testing.T) {
	home := queuetest.New(t)
	for then, want := range map[string]string{
		"exit 31":              "Dmail server permanently rejected message (#5.3.0)",
		"exit 53":              "Zqq write error or disk full (#4.3.0)",
		"exit 111":             "Zqq temporary problem (#4.3.0)",
		"exit 255":             "Zqq temporary problem (#4.3.0)",
		"kill -9 $$":           "Zqq crashed (#4.3.0)",
		"kill -15 $$":          "Zqq crashed (#4.3.0)",
		"exec 6>&-":            "",
		"echo Dnoise >&6":      "",
		"exec 6>&-; exit 31":   "Dmail server permanently rejected message (#5.3.0)",
		"sleep 600 & exit 0":   "", // a child of its own keeps descriptor 6
		"exit 82":              "Zqq temporary problem (#4.3.0)",
		"printf D >&6;exit 82": "Zqq temporary problem (#4.3.0)",
		`printf 'Dno spam (#5.7.1)' >&6; exit 82`:               "Dno spam (#5.7.1)",
		`printf 'Zlater\n' >&6; exit 82`:                        "Zlater",
		`printf 'Dtwo\r\nlines\n250 ok\r\n' >&6; exit 82`:       "Dtwo  lines 250 ok",
		`printf 'D\n\n' >&6; exit 82`:                           "Zqq temporary problem (#4.3.0)",
		`printf 'Xunknown' >&6; exit 82`:                        "Zqq temporary problem (#4.3.0)",
		`printf 'Dnot for 81' >&6; exit 81`:                     "Zqq internal bug (#4.3.0)",
		`printf 'D%01000d' 7 >&6; exit 82`:                      "D" + strings.Repeat("0", 254),
		`printf 'D%0200000d' 7 >&6; exit 82`:                    "D" + strings.Repeat("0", 254),
		`printf 'Done,' >&6; (printf ' two' >&6); exit 82`:      "Done, two",
		`printf 'Dbefore' >&6; exec 6>&-; exec sh -c 'exit 82'`: "Dbefore",
		`printf 'D\000\033[31m\177x' >&6; exit 82`:              "D  [31m x",
		`printf 'D\303\251t\303\251' >&6; exit 82`:              "D\u00e9t\u00e9",
	} {
		if then == "sleep 600 & exit 0" {
			then = `sleep 600 & echo $! >"$QUEUE_HOME/sleeper"`
		}
		h := open(t, home, time.Minute, "", then)
		h.Write([]byte("a message\n"))
		if got := h.Close("me@here", []string{"you@there"}); got != want {
			t.Errorf("%s: %q, want %q", then, got, want)
		}
	}
	sleeper, err := os.ReadFile(string(home) + "/sleeper")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(sleeper)))
	if err != nil || unix.Kill(pid, unix.SIGKILL) != nil {
		t.Errorf("%q was not there any more: it has been waited for (%v)", sleeper, err)
	}
}

// A program that ends before it has read all is noticed, whatever its code;
// nothing is sent to it and no signal kills us.
func TestQueueGone(t *testing.T) {
	home := queuetest.New(t)
	for first, want := range map[string]string{
		"exit 0":     "Zqq read error (#4.3.0)",
		"exit 31":    "Dmail server permanently rejected message (#5.3.0)",
		"exit 53":    "Zqq write error or disk full (#4.3.0)",
		"kill -9 $$": "Zqq crashed (#4.3.0)",
	} {
		h := open(t, home, time.Minute, first, "")
		for range 100 { // more than a pipe holds
			if n, err := h.Write(make([]byte, 4096)); n != 4096 || err != nil {
				t.Errorf("%s: %d, %v", first, n, err)
			}
		}
		if got := h.Close("me@here", []string{"you@there"}); got != want {
			t.Errorf("%s: %q, want %q", first, got, want)
		}
	}
	if list := home.Messages(t); len(list) != 0 {
		t.Errorf("taken: %+v", list)
	}
}

// S21: a program that hangs, at its beginning, in its reading or at its end.
func TestQueueHangs(t *testing.T) {
	home := queuetest.New(t)
	var wg sync.WaitGroup
	for _, c := range []struct{ first, then string }{
		{"exec sleep 600", ""},
		{"", "exec sleep 600"},
		{"", "exec 6>&-; exec sleep 600"},
	} {
		h := open(t, home, 2*time.Second, c.first, c.then)
		wg.Go(func() {
			for range 100 {
				h.Write(make([]byte, 4096))
			}
			if got, want := h.Close("me@here", []string{"you@there"}), "Zqq timeout (#4.3.0)"; got != want {
				t.Errorf("%s: %q, want %q", c, got, want)
			}
			var ws unix.WaitStatus
			if _, err := unix.Wait4(h.PID, &ws, 0, nil); err != nil || ws.Signal() != unix.SIGKILL {
				t.Errorf("%s: it lives: %v, %v", c, ws, err)
			}
		})
	}
	wg.Wait()
	for _, m := range home.Messages(t) {
		if m.Taken {
			t.Errorf("taken: %+v", m)
		}
	}
}

// S22, S23: what is abandoned has no envelope, and no second life.
func TestQueueAbandoned(t *testing.T) {
	home := queuetest.New(t)
	h := open(t, home, time.Minute, "", "")
	h.Write([]byte("half a mess"))
	h.Abandon()
	h.Abandon()
	if trouble := h.Close("me@here", []string{"you@there"}); trouble == "" {
		t.Error("what was abandoned is in the queue")
	}
	h.Write([]byte("more"))
	list := home.Messages(t)
	if len(list) != 1 || list[0].Taken || list[0].Content != "half a mess" || list[0].Envelope != "" {
		t.Errorf("%+v", list)
	}
	h = open(t, home, time.Minute, "", "")
	if trouble := h.Close("me@here", []string{"you@there", "a\x00Tb"}); trouble != "Zqq read error (#4.3.0)" {
		t.Errorf("a NUL in an address: %q", trouble)
	}
	if list = home.Messages(t); len(list) != 2 || list[1].Taken || list[1].Envelope != "" {
		t.Errorf("a NUL in an address: %+v", list)
	}
}

func TestQueueCannotRun(t *testing.T) {
	home := queuetest.New(t)
	for reason, c := range map[string]struct{ home, program, want string }{
		"no such program":  {string(home), "/nonexistent", "Zunable to exec qq (#4.3.0)"},
		"no program":       {string(home), "", "Zunable to exec qq (#4.3.0)"},
		"not executable":   {string(home), "control/me", "Zunable to exec qq (#4.3.0)"},
		"a directory":      {string(home), "bin", "Zunable to exec qq (#4.3.0)"},
		"not in PATH":      {string(home), "true", "Zunable to exec qq (#4.3.0)"},
		"no home":          {string(home) + "/nowhere", "/bin/true", "Zqq trouble in home directory (#4.3.0)"},
		"home is a file":   {string(home) + "/control/me", "bin/qmail-queue", "Zqq trouble in home directory (#4.3.0)"},
		"relative to home": {string(home) + "/control", "../bin/qmail-queue", ""},
	} {
		env := Env(home.Env("", ""))
		env.Set("QMAILQUEUE", c.program)
		h, err := Queue{Home: c.home, Env: &env}.Open()
		if err != nil {
			t.Errorf("%s: %v", reason, err)
			continue
		}
		h.Write(make([]byte, 10_000))
		if got := h.Close("me@here", []string{"you@there"}); got != c.want {
			t.Errorf("%s: %q, want %q", reason, got, c.want)
		}
	}
}

// No descriptor and no process is left behind by many messages.
func TestQueueLeavesNothing(t *testing.T) {
	home := queuetest.New(t)
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	for range 5 {
		open(t, home, time.Minute, "", "").Close("", []string{"a"})
		open(t, home, time.Minute, "exit 7", "").Abandon()
		env := Env{"QMAILQUEUE=/nonexistent"}
		if h, err := (Queue{Home: string(home), Env: &env}).Open(); err == nil {
			h.Abandon()
		}
	}
	if after := count(); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
	if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != unix.ECHILD {
		t.Errorf("a child is left: %d, %v", pid, err)
	}
}
