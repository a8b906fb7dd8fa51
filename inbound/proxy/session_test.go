package proxy

import (
	"io"
	"os"
	"syscall"
	"testing"
	"time"

	"postrider/inbound"
	"postrider/internal/fdconn"
)

// ends are the other ends of a session.
type ends struct{ client, in, out *os.File }

func newSession(t *testing.T) (*Session, ends, *string) {
	t.Helper()
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var down, up [2]int
	if syscall.Pipe2(down[:], syscall.O_CLOEXEC) != nil || syscall.Pipe2(up[:], syscall.O_CLOEXEC) != nil {
		t.Fatal("no pipes")
	}
	e := ends{os.NewFile(uintptr(pair[0]), "client"), os.NewFile(uintptr(down[0]), "in"), os.NewFile(uintptr(up[1]), "out")}
	t.Cleanup(func() { e.client.Close(); e.in.Close(); e.out.Close(); syscall.Close(pair[1]) })
	log := new(string)
	s := &Session{Client: inbound.Descriptors{In: pair[1], Out: pair[1]}, In: down[1], Out: up[0],
		Helper: inbound.Helper{FDs: fdconn.TLSFDs{Ctl: 1 << 20, Read: 1 << 20, Write: 1 << 20}}, Log: func(s string) { *log += s }}
	return s, e, log
}

func TestEnds(t *testing.T) {
	for reason, c := range map[string]struct {
		do     func(e ends)
		exit   int
		client string
	}{
		"silence":         {func(e ends) { e.out.WriteString("220 mx\r\n") }, ExitIdle, "220 mx\r\n"},
		"no server":       {func(e ends) { e.out.Close() }, 0, ""},
		"no SMTP":         {func(e ends) { e.out.WriteString("hello\r\n") }, ExitServer, ""},
		"a line too long": {func(e ends) { e.client.Write(make([]byte, maxLine+1)) }, ExitTrouble, ""},
		"no TLS": {func(e ends) {
			e.client.WriteString("STARTTLS\r\n")
			e.out.WriteString("220 mx\r\n")
			go func() {
				e.in.Read(make([]byte, len("RSET\r\n")))
				e.out.WriteString("250 ok\r\n")
			}()
		}, ExitTrouble, "220 mx\r\n" + ready},
		"a server that hears none": {func(e ends) {
			e.in.Close()
			e.out.WriteString("220 mx\r\n")
			e.client.WriteString("HELP\r\n")
			e.out.Close()
		}, 0, "220 mx\r\n"},
	} {
		s, e, log := newSession(t)
		c.do(e)
		if s.Client.Patience, s.idle = time.Minute, time.Minute; reason == "silence" {
			s.idle = 300 * time.Millisecond
		}
		if exit := s.run(); exit != c.exit || (*log == "") != (c.exit == 0) {
			t.Errorf("%s: exit %d, %q", reason, exit, *log)
		}
		syscall.Shutdown(s.Client.Out, syscall.SHUT_WR)
		if heard, err := io.ReadAll(e.client); string(heard) != c.client && err == nil {
			t.Errorf("%s: client hears %q", reason, heard)
		}
	}
	s, e, _ := newSession(t)
	e.client.Close()
	e.out.WriteString("220 mx\r\n")
	e.out.Close()
	if exit := s.Run(); exit != 0 {
		t.Errorf("no client: exit %d", exit)
	}
	s, _, log := newSession(t)
	syscall.Close(s.In)
	if exit := s.Run(); exit != ExitTrouble || *log == "" {
		t.Errorf("no pipe: exit %d", exit)
	}
}
