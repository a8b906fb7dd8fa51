package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/miekg/dns"

	"postrider/internal/smtp"
)

// bare is what the engine's latency is compared with: it takes orders and makes
// reports as qmail-rspawn does, and sends what the server needs to hear, over
// conversations that it keeps. It reads no control files, opens no message, and looks
// at replies only to count them. What it takes is what these processors, on which the
// servers and the line run too, let anybody take.
type bare struct {
	content, chunk []byte // the message as it travels after DATA, and by BDAT

	mu   sync.Mutex
	idle map[string][]*exchange // by host
	out  io.Writer              // under mu
}

// exchange is a conversation of bare's.
type exchange struct {
	net.Conn
	in       *bufio.Reader
	chunking bool
}

// bareClient is main for that role.
func bareClient() error {
	debug.SetGCPercent(200) // as cmd/qmail-rspawn
	message, err := os.ReadFile(os.Getenv("QMAILHOME") + "/queue/mess/0/1")
	if err != nil {
		return err
	}
	b := &bare{idle: map[string][]*exchange{}, out: os.Stdout}
	var dotted smtp.Encoder
	if b.content, err = dotted.Close(dotted.Append(nil, message)); err != nil {
		return err
	}
	chunked := smtp.Encoder{NoDots: true}
	b.chunk = chunked.Append(nil, message)
	if _, err := b.out.Write([]byte{255}); err != nil {
		return err
	}
	in := bufio.NewReader(os.Stdin)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		slot, err := in.ReadByte()
		if err != nil {
			return nil // qmail-send has gone
		}
		var words [3]string // message, sender, recipient
		for i := range words {
			if words[i], err = in.ReadString(0); err != nil {
				return nil
			}
			words[i] = words[i][:len(words[i])-1]
		}
		all.Go(func() { b.report(slot, b.deliver(words[1], words[2])) })
	}
}

func (b *bare) report(slot byte, err error) {
	line := []byte{slot, 'K', 0}
	if err != nil {
		line = fmt.Appendf([]byte{slot}, "Z%v\x00", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.out.Write(line)
}

func (b *bare) deliver(sender, rcpt string) error {
	_, host, _ := strings.Cut(rcpt, "@")
	x, err := b.take(host)
	if err != nil {
		return err
	}
	group := fmt.Appendf(nil, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\n", sender, rcpt)
	if x.chunking {
		err = x.say(append(fmt.Appendf(group, "BDAT %d LAST\r\n", len(b.chunk)), b.chunk...), 3)
	} else if err = x.say(append(group, "DATA\r\n"...), 3); err == nil {
		err = x.say(b.content, 1)
	}
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.idle[host] = append(b.idle[host], x)
	return nil
}

// take gives a conversation with host, a new one where none is idle.
func (b *bare) take(host string) (*exchange, error) {
	b.mu.Lock()
	if all := b.idle[host]; len(all) > 0 {
		b.idle[host] = all[:len(all)-1]
		b.mu.Unlock()
		return all[len(all)-1], nil
	}
	b.mu.Unlock()
	addr, err := resolve(host)
	if err != nil {
		return nil, err
	}
	conn, err := net.Dial("tcp", net.JoinHostPort(addr, "25"))
	if err != nil {
		return nil, err
	}
	x := &exchange{Conn: conn, in: bufio.NewReader(conn)}
	if err := x.say(nil, 1); err != nil {
		return nil, err
	}
	return x, x.say([]byte("EHLO bench.example\r\n"), 1)
}

// say writes a flight and reads so many replies.
func (x *exchange) say(flight []byte, replies int) error {
	if len(flight) > 0 {
		if _, err := x.Write(flight); err != nil {
			return err
		}
	}
	for replies > 0 {
		line, err := x.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || line[0] != '2' && line[0] != '3' {
			return fmt.Errorf("a delivery was not accepted: %q", line)
		}
		x.chunking = x.chunking || bytes.Contains(line, []byte("CHUNKING"))
		if line[3] == ' ' {
			replies--
		}
	}
	return nil
}

// resolve asks for a host's exchanger, and then for its address.
func resolve(host string) (addr string, err error) {
	ask := func(name string, kind uint16) (dns.RR, error) {
		m := new(dns.Msg).SetQuestion(name, kind)
		r, err := dns.Exchange(m, os.Getenv("DNSCACHEIP"))
		if err == nil && len(r.Answer) == 0 {
			err = fmt.Errorf("%s: no answer", name)
		}
		if err != nil {
			return nil, err
		}
		return r.Answer[0], nil
	}
	mx, err := ask(host+".", dns.TypeMX)
	if err != nil {
		return "", err
	}
	a, err := ask(mx.(*dns.MX).Mx, dns.TypeA)
	if err != nil {
		return "", err
	}
	return a.(*dns.A).A.String(), nil
}
