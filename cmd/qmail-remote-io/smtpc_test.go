package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"postrider/internal/chain/job"
	"postrider/internal/proctest"
	"postrider/internal/smtp"
	"postrider/internal/smtptest"
	"postrider/smtpc"
)

// bin is where TestMain has built this program and ucspi-tlsc.
var bin string

func TestMain(m *testing.M) { proctest.Main(m, &bin, "ucspi-tlsc", "qmail-remote-io") }

// dialogue is a server's part: lines that begin with "<" are said ("|" in them
// is a line end), others are
// the beginnings of what must be heard. "!" does a handshake, "." hears content,
// "#" says nothing and waits for the end, whatever comes,
// "?" for the bytes behind it, and "@" until somebody has opened and closed the
// FIFO of that name.
func dialogue(t *testing.T, raw net.Conn, script string) (body string) {
	defer raw.Close()
	conn, r := raw, bufio.NewReader(raw)
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case line[0] == '<':
			conn.Write([]byte(strings.ReplaceAll(strings.TrimSpace(line[1:]), "|", "\r\n") + "\r\n"))
		case line[0] == '@':
			os.ReadFile(line[1:])
		case line[0] == '?':
			for !strings.Contains(body, line[1:]) {
				b, err := r.ReadByte()
				if err != nil {
					t.Errorf("server heard %q: %v", body, err)
					return body
				}
				body += string(b)
			}
		case line == "!":
			secured := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}})
			secured.Handshake()
			conn, r = secured, bufio.NewReader(secured)
		case line == "#":
			b, _ := io.ReadAll(r)
			return string(b)
		default:
			heard, err := r.ReadString('\n')
			for line == "." && err == nil && heard != ".\r\n" {
				body += heard
				heard, err = r.ReadString('\n')
			}
			if !strings.HasPrefix(heard, line) {
				t.Errorf("server heard %q, wants %s (%v)", heard, line, err)
				return body
			}
		}
	}
	return body
}

// start starts argv with a connection to script on 6 and 7, and extra files from
// 3 on; it returns what was written to 1, the exit code, and the content heard.
func start(t *testing.T, script, message string, env []string, extra []*os.File, argv ...string) (out string, code int, body string) {
	t.Helper()
	conn, f := proctest.Connection(t)
	var server sync.WaitGroup
	server.Go(func() { body = dialogue(t, conn, script) })
	cmd := exec.Command(filepath.Join(bin, argv[0]), argv[1:]...)
	cmd.Env = append([]string{"PATH=" + bin + ":" + os.Getenv("PATH")}, env...)
	cmd.ExtraFiles = append(append([]*os.File{}, extra...), make([]*os.File, 3-len(extra))...)
	cmd.ExtraFiles = append(cmd.ExtraFiles, f, f)
	if message != "" {
		name := filepath.Join(t.TempDir(), "message")
		if err := os.WriteFile(name, []byte(message), 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		cmd.Stdin = in
	}
	var b bytes.Buffer
	cmd.Stdout = &b
	cmd.WaitDelay = time.Minute
	err := cmd.Start()
	f.Close()
	for _, e := range extra {
		e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	server.Wait()
	return b.String(), cmd.ProcessState.ExitCode(), body
}

const message = "Subject: x\n\n.hello\n"

const transaction = `
	MAIL FROM:<me@client.example>
	< 250 ok
	RCPT TO:<you@mx.example>
	< 250 ok
	DATA
	< 354 go
	.
	< 250 taken
	QUIT`

var hello = []string{"-h", "client.example"}

func TestReports(t *testing.T) {
	long := strings.Repeat("x", 70)
	for reason, c := range map[string]struct {
		script string
		args   []string
		body   string
		report string
	}{
		"with a greeting": {"< 220 mx\nEHLO client.example\n< 250 mx\n" + transaction, hello, "Subject: x\r\n\r\n..hello\r\n", "r\x00Kmx accepted message.\nRemote host said: 250 taken\n\x00"},
		"CHUNKING offered (C79)": {"< 220 mx\nEHLO client.example\n< 250-mx|250-PIPELINING|250 CHUNKING\n" + transaction, hello, "Subject: x\r\n\r\n..hello\r\n",
			"r\x00Kmx accepted message.\nRemote host said: 250 taken\n\x00"},
		"without":           {transaction, nil, "Subject: x\r\n\r\n..hello\r\n", "r\x00Kmx accepted message.\nRemote host said: 250 taken\n\x00"},
		"greeting refused":  {"< 554 no\n#", hello, "", "ZConnected to mx but greeting failed.\nRemote host said: 554 no\n\x00"},
		"recipient refused": {"MAIL\n< 250 ok\nRCPT\n< 550 " + long + "\n#", nil, "QUIT\r\n", "hmx does not like recipient.\nRemote host said: 550 " + long + "\n\x00DGiving up on mx.\n\x00"},
		"dropped":           {"MAIL\n< 250 ok\n", nil, "", "ZConnected to mx but connection died. (#4.4.2)\n\x00"},
		"dropped at the dot": {"MAIL\n< 250 ok\nRCPT\n< 250 ok\nDATA\n< 354 go\n.\n", nil, "Subject: x\r\n\r\n..hello\r\n",
			"r\x00ZConnected to mx but connection died. Possible duplicate! (#4.4.2)\n\x00"},
		"dropped with its parameters refused (C51)": {"< 220 mx\nEHLO client.example\n< 250-mx|250 SIZE\nMAIL\n< 501 no\n", hello, "",
			"DConnected to mx but sender was rejected.\nRemote host said: 501 no\n\x00"},
		"time-out": {"MAIL\n#", []string{"-t", "1"}, "", "ZConnected to mx but connection died. (#4.4.2)\n\x00"},
	} {
		args := append(append([]string{"qmail-remote-io"}, c.args...), "mx", "me@client.example", "you@mx.example")
		out, code, body := start(t, c.script, message, nil, nil, args...)
		if out != c.report || code != 0 || body != c.body {
			t.Errorf("%s: %q, exit %d, server got %q", reason, out, code, body)
		}
	}
}

func TestReportsWithoutConversation(t *testing.T) {
	for reason, c := range map[string]struct {
		message string
		args    []string
		report  string
	}{
		"no recipient":   {message, []string{"mx", "me@x"}, "DI (qmail-smtpc) was invoked improperly. (#5.3.5)\n\x00"},
		"no such option": {message, []string{"-x", "mx", "me@x", "you@y"}, "DI (qmail-smtpc) was invoked improperly. (#5.3.5)\n\x00"},
		"bad address":    {message, []string{"mx", "me@x", "you\r\n@y"}, ""},
		"partial line":   {"x", []string{"mx", "me@x", "you@y"}, "DSMTP cannot transfer messages with partial final lines. (#5.6.2)\n\x00"},
		"no connection":  {message, []string{"-6", "20", "mx", "me@x", "you@y"}, ""},
	} {
		out, code, said := start(t, "#", c.message, nil, nil, append([]string{"qmail-remote-io"}, c.args...)...)
		if code != 0 || strings.TrimSuffix(said, "QUIT\r\n") != "" || !strings.HasSuffix(out, "\n\x00") || strings.Count(out, "\x00") != 1 {
			t.Errorf("%s: %q, exit %d, said %q", reason, out, code, said)
		}
		if c.report != "" && strings.ReplaceAll(c.report, "qmail-smtpc", "qmail-remote") != out {
			t.Errorf("%s: %q", reason, out)
		}
	}
}

func authority(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(name, []byte(smtptest.AuthorityPEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	return "CAFILE=" + name
}

// Under a UCSPI-TLS client it does STARTTLS where it is offered.
func TestUCSPITLS(t *testing.T) {
	const greeting = "< 220 mx\nEHLO client.example\n< 250-mx\n< 250 STARTTLS\nSTARTTLS\n"
	for reason, c := range map[string]struct{ script, begin, end string }{
		"secured":     {greeting + "< 220 go\n!\nEHLO client.example\n< 250 mx\n" + transaction, "r\x00Kmx accepted message.\nRemote host said: 250 taken\nTLS: TLSv1.3 TLS_", " verified=pkix\n\x00"},
		"not offered": {"< 220 mx\nEHLO client.example\n< 250 mx\n" + transaction, "r\x00Kmx accepted message.\nRemote host said: 250 taken\n\x00", ""},
		"refused":     {greeting + "< 454 not now\n#", "Z", "(#4.7.5)\n\x00"},
		"broken":      {greeting + "< 220 go\n< 250 this is no TLS\n#", "Z", "(#4.7.5)\n\x00"},
		"injected":    {greeting + "< 220 go|250 I am the server\n#", "Z", "(#4.7.5)\n\x00"},
		"dropped":     {greeting + "< 220 go\n", "Z", "(#4.7.5)\n\x00"},
	} {
		out, code, _ := start(t, c.script, message, []string{authority(t)}, nil,
			"ucspi-tlsc", "-d", "-v0", "-k", "mx.example", "qmail-remote-io", "-h", "client.example", "mx", "me@client.example", "you@mx.example")
		if code != 0 || !strings.HasPrefix(out, c.begin) || !strings.Contains(out, strings.TrimSuffix(c.end, "\n\x00")) || strings.Count(out, "\x00") > 2 {
			t.Errorf("%s: %q, exit %d", reason, out, code)
		}
	}
}

func aJob() []byte {
	j := job.Job{Params: smtpc.Params{Helo: "client.example", Timeout: time.Minute}}
	return j.AppendTo(nil)
}

// socketpair is a result: our end and theirs.
func socketpair(t *testing.T) (ours, theirs int) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fds[0], fds[1]
}

// follow reads a result to its end, and gives leave to end the content.
func follow(fd int) string {
	var all []byte
	b := make([]byte, 1)
	for {
		if n, err := syscall.Read(fd, b); n != 1 || err != nil {
			syscall.Close(fd)
			return string(all)
		}
		if all = append(all, b[0]); b[0] == 0x80|byte(smtp.AtDot) {
			syscall.Write(fd, b)
		}
	}
}

// chainOf runs the program as ucspi-tlsc does in a chain, and returns what it
// wrote to the result.
func chainOf(t *testing.T, script string, jobText []byte, args ...string) (result string, code int, body string) {
	t.Helper()
	jr, jw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := socketpair(t)
	rw := os.NewFile(uintptr(theirs), "result")
	jw.Write(jobText)
	jw.Close()
	done := make(chan string)
	go func() { done <- follow(ours) }()
	_, code, body = start(t, script, message, []string{"SSL_PROTOCOL=TLSv1.3", "SSL_CIPHER=c", "SSL_VERIFIED=dane"}, []*os.File{jr, rw},
		append([]string{"qmail-remote-io", "-j", "3", "-r", "4"}, append(args, "--", "mx", "me@client.example", "you@mx.example")...)...)
	return <-done, code, body
}

func TestChained(t *testing.T) {
	result, code, _ := chainOf(t, "EHLO client.example\n< 250 mx\n"+transaction, aJob())
	marks := string([]byte{0x80 | byte(smtp.AtEHLO), 0x80 | byte(smtp.AtMail), 0x80 | byte(smtp.AtDot)})
	record, ok := strings.CutPrefix(result, marks)
	tx, err := smtp.ParseTransaction([]byte(record))
	want := smtp.Security{Version: "TLSv1.3", Cipher: "c", Verified: "dane"}
	if !ok || err != nil || code != 0 || !tx.Accepted() || !reflect.DeepEqual(tx.TLS, want) {
		t.Errorf("%q, %v, exit %d: %+v", result, err, code, tx)
	}
	if result, code, said := chainOf(t, "#", aJob()[:9]); code != exitUsage || result != "" || said != "" {
		t.Errorf("half a job: %q, exit %d, said %q", result, code, said)
	}
	if result, code, said := chainOf(t, "#", aJob(), "-h", "x"); code != exitUsage || result != "" || said != "" {
		t.Errorf("improper arguments: %q, exit %d, said %q", result, code, said)
	}
}

func TestChainedQMTP(t *testing.T) {
	result, code, body := chainOf(t, "?you@mx.example,,\n< 4:Kyes,\n", aJob(), "-q")
	marks := string([]byte{0x80 | byte(smtp.AtEHLO), 0x80 | byte(smtp.AtMail), 0x80 | byte(smtp.AtDot)})
	tx, err := smtp.ParseTransaction([]byte(strings.TrimPrefix(result, marks)))
	if code != 0 || err != nil || tx.Stage != smtp.AtQuit || tx.TLS.Version != "TLSv1.3" || !strings.Contains(body, "17:me@client.example,") {
		t.Errorf("%q, %v, exit %d, said %q: %+v", result, err, code, body, tx)
	}
}

// A message whose report nobody would read will be sent again, and so its end
// is not sent now.
func TestNobodyReadsTheReport(t *testing.T) {
	jr, jw, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := socketpair(t)
	jw.Write(aJob())
	jw.Close()
	gone := filepath.Join(t.TempDir(), "gone")
	if err := syscall.Mkfifo(gone, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() { // the reader goes away when MAIL has been announced
		b := make([]byte, 1)
		for b[0] != 0x80|byte(smtp.AtMail) {
			if n, _ := syscall.Read(ours, b); n != 1 {
				break
			}
		}
		syscall.Close(ours)
		os.WriteFile(gone, nil, 0)
	}()
	gate := "EHLO\n< 250 mx\nMAIL\n< 250 ok\nRCPT\n< 250 ok\nDATA\n@" + gone + "\n"
	_, code, body := start(t, gate+"< 354 go\n#", message, nil, []*os.File{jr, os.NewFile(uintptr(theirs), "result")},
		"qmail-remote-io", "-j", "3", "-r", "4", "--", "mx", "me@client.example", "you@mx.example")
	if code != exitSystem || strings.Contains(body, "hello") {
		t.Errorf("exit %d, said %q", code, body)
	}
}

func TestMessageMarks(t *testing.T) {
	for reason, content := range map[string]string{"empty": "", "short": "x\n", "long": strings.Repeat("0123456789\n", 20000)} {
		for _, again := range []bool{true, false} {
			ours, theirs := socketpair(t)
			if err := syscall.SetNonblock(ours, true); err != nil {
				t.Fatal(err)
			}
			syscall.Write(ours, []byte{1}) // leave, before it is asked for
			m := &smtp.Message{Stream: strings.NewReader(content)}
			if again {
				m = &smtp.Message{At: strings.NewReader(content), Size: int64(len(content))}
			}
			if err := (marks{theirs}).attach(m); err != nil {
				t.Fatal(err)
			}
			marked := func() bool {
				n, _ := syscall.Read(ours, make([]byte, 8))
				return n == 1
			}
			early := marked()
			src := m.Reader()
			if len(content) > 0 {
				head := make([]byte, len(content)-1)
				if _, err := io.ReadFull(src, head); err != nil || early || marked() {
					t.Errorf("%s, %v: marked before the last byte (%v)", reason, again, err)
				}
			}
			rest, err := io.ReadAll(src)
			if len(rest) != min(1, len(content)) || err != nil || !early && !marked() || marked() {
				t.Errorf("%s, %v: %q, %v: not marked once", reason, again, rest, err)
			}
			syscall.Close(ours)
			syscall.Close(theirs)
		}
	}
}

func TestCut(t *testing.T) {
	long := strings.Repeat("x", 3000)
	for reason, c := range map[string]struct{ lines, want []string }{
		"short": {[]string{"250 ok"}, []string{"250 ok"}},
		"none":  {nil, nil},
		"lines": {[]string{long, long, long}, []string{long, long[:1999]}},
		"line":  {[]string{long + long}, []string{(long + long)[:5000]}},
	} {
		if got := cut(smtp.Reply{Code: 250, Lines: c.lines}); !reflect.DeepEqual(got.Lines, c.want) {
			t.Errorf("%s: %d lines", reason, len(got.Lines))
		}
	}
}
