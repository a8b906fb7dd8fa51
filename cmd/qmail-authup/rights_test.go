package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRights: S10, S31. Behind checkpassword a program is its user, at home, with
// three descriptors that block and whatever signals do by default; our parent had
// more, and ignored SIGPIPE.
func TestRights(t *testing.T) {
	p := settle(t)
	var leaks []*os.File
	for range 5 {
		f, err := os.Open(p.passwords)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		leaks = append(leaks, f)
	}
	uid := "12345"
	if os.Getuid() != 0 {
		uid = strconv.Itoa(os.Getuid())
	}
	s := p.begin(t, []string{"SSLCTLFD=4", "SSLREADFD=5", "SSLWRITEFD=6", "UCSPITLS=-"}, leaks, "authup", "smtp", "checkpassword", "server", "235 ok")
	expect(t, s, "220 me.example ESMTP")
	send(s, "AUTH PLAIN "+plain("joe", "hunter2 is the password"), "FACTS", "ENV HOME", "ENV UCSPITLS", "ENV SSLCTLFD")
	dir := filepath.Dir(p.passwords)
	expect(t, s, "235 ok", "fds=0,1,2 uid="+uid+" cwd="+dir+"/joe user=joe", strconv.Quote(dir+"/joe"), "unset", "unset")
	if rest, code := s.end(t); rest != "" || code != 0 {
		t.Errorf("exit %d, %q", code, rest)
	}
	// checkpassword itself is where qmail is, and has its descriptor.
	if saw, _ := os.ReadFile(p.saw); !strings.Contains(string(saw), " fds=0,1,2,3 uid="+strconv.Itoa(os.Getuid())+" cwd="+p.home+" user=joe\n") {
		t.Errorf("checkpassword saw %s", saw)
	}
}

// TestSignals: what was ignored by our parent is not by what we start.
func TestSignals(t *testing.T) {
	p := settle(t)
	cmd := exec.Command("/bin/sh", "-c", `trap "" PIPE CHLD TERM; exec authup smtp checkpassword grep -E "^Sig(Blk|Ign)" /proc/self/status`)
	cmd.Env = p.env()
	cmd.Stdin = strings.NewReader("AUTH PLAIN " + plain("u", "p") + "\r\n")
	out, err := cmd.Output()
	// What else is ignored, SIGHUP say, is who started the tests' business.
	var blocked, ignored uint64
	if _, e := fmt.Sscanf(string(out), "220 me.example ESMTP\r\nSigBlk:\t%x\nSigIgn:\t%x\n", &blocked, &ignored); err != nil || e != nil {
		t.Fatalf("%v, %v\n%s", err, e, out)
	}
	for _, sig := range []syscall.Signal{syscall.SIGPIPE, syscall.SIGCHLD, syscall.SIGTERM} {
		if (blocked|ignored)&(1<<(sig-1)) != 0 {
			t.Errorf("%v does not have its default action: blocked %x, ignored %x", sig, blocked, ignored)
		}
	}
}

// TestSecret: while the session goes on the password is nowhere: not in what
// anybody can read of our processes, not in the log, not in our memory.
func TestSecret(t *testing.T) {
	secret := "hunter2 is the password"
	for reason, lines := range map[string][]string{
		"PLAIN":            {"NOOP", "AUTH PLAIN " + plain("joe", secret)},
		"PLAIN, challenge": {"AUTH PLAIN", plain("joe", secret)},
		"LOGIN":            {"AUTH LOGIN am9l", base64.StdEncoding.EncodeToString([]byte(secret))},
		"POP3":             {"USER joe", "PASS " + secret},
	} {
		p := settle(t)
		protocol := "smtp"
		if reason == "POP3" {
			protocol = "pop3"
		}
		s := p.begin(t, nil, nil, "authup", protocol, "checkpassword", "server", "235 ok")
		send(s, lines...)
		for got := ""; got != "235 ok"; {
			got = hear(t, s)
		}
		pid := s.cmd.Process.Pid
		hidden := []string{secret, base64.StdEncoding.EncodeToString([]byte(secret)), plain("joe", secret)}
		for _, h := range hidden {
			if where := find(t, pid, []byte(h)); where != "" {
				t.Errorf("%s: %q is left in %s", reason, h, where)
			}
		}
		if find(t, pid, []byte("AUTHUP_USER=joe")) == "" {
			t.Error("memory is not read at all")
		}
		if rest, code := s.end(t); rest != "" || code != 0 {
			t.Errorf("exit %d, %q", code, rest)
		}
		for _, h := range hidden {
			if strings.Contains(s.log.String(), h) {
				t.Errorf("log\n%s", s.log.String())
			}
		}
	}
}

// find looks for b in the memory of a process that may be written, and in what
// ps(1) shows of it.
func find(t *testing.T, pid int, b []byte) (where string) {
	t.Helper()
	proc := "/proc/" + strconv.Itoa(pid)
	for _, name := range []string{"/cmdline", "/environ"} {
		if text, err := os.ReadFile(proc + name); err != nil || bytes.Contains(text, b) {
			return fmt.Sprint(name, err)
		}
	}
	maps, err := os.ReadFile(proc + "/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(proc + "/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); n == 3 && strings.HasPrefix(rights, "rw") {
			if text := section(mem, from, to); bytes.Contains(text, b) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}

// section reads memory page by page, as far as there is any.
func section(mem *os.File, from, to int64) []byte {
	const most = 64 << 20 // the rest of a larger one was never touched
	text, _ := io.ReadAll(io.NewSectionReader(mem, from, min(to-from, most)))
	return text
}

// TestSlowRefusal: S9. A wrong password takes a second, of whomever it is.
func TestSlowRefusal(t *testing.T) {
	p := settle(t)
	for _, user := range []string{"u", "nobody"} {
		begun := time.Now()
		out, _ := p.piped(nil, "AUTH PLAIN "+plain(user, "wrong")+"\r\n", "authup", "-t1", "smtp", "checkpassword", "server")
		if took := time.Since(begun); took < refusal || !strings.HasSuffix(out, "\r\n535 authup authorization failed (#5.7.0)\r\n") {
			t.Errorf("%s: %v, %q", user, took, out)
		}
	}
}
