package engine

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"postrider/internal/dnstest"
	"postrider/internal/smtptest"
	"postrider/internal/spawn"
)

// line is messages that wait for one another: the third to the last begin behind
// the content of the ones before them.
const line = 4

// severing is a world for cuts.
type severing struct {
	home string
	zone dnstest.Zone
}

func newSevering(t *testing.T) *severing {
	t.Helper()
	d, err := smtptest.ParseDialogue([]byte("-- argv --\nexample.net me@example.com you@example.net\n-- control/me --\nmail.example\n" +
		"-- control/concurrencyperhost --\n1\n-- control/timeoutremote --\n20\n" +
		"-- dns --\nexample.net. MX 10 mx.example.net.\nmx.example.net. A 192.0.2.7\n-- report --\nK\\n\\0\n"))
	if err != nil {
		t.Fatal(err)
	}
	home, _, zone := furnish(t, d)
	return &severing{home, zone}
}

// fate is what became of the messages in line.
type fate struct {
	reports    [line]string
	overlapped uint64
	took       time.Duration
	first      *severed // the first connection
}

// deliver delivers line messages, one in each transaction, to s.
func (w *severing) deliver(t *testing.T, s *honest) (f fate) {
	s.t, s.taken = t, map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		e := New(w.home, 20)
		begun := time.Now()
		var serving, delivering sync.WaitGroup
		e.stage(w.zone, func(context.Context, netip.Addr, netip.AddrPort) (net.Conn, error) {
			client, server := smtptest.Pipe(64 << 10)
			v := &visit{honest: s, conn: server, first: f.first == nil}
			serving.Go(v.run)
			c := &severed{End: client, cut: uncut}
			if v.first {
				c.cut, f.first = s.cut, c
			}
			if s.alone {
				return solitary{c}, nil
			}
			return c, nil
		})
		for i := range f.reports {
			m, err := os.Open(w.home + "/queue/mess/0/1")
			if err != nil {
				t.Fatal(err)
			}
			delivering.Go(func() {
				defer m.Close()
				f.reports[i] = string(e.Deliver(context.Background(), spawn.Delivery{MessID: "0/1", Host: "example.net", Message: m,
					Sender: fmt.Sprintf("s%d@example.com", i), Recipient: fmt.Sprintf("r%d@example.net", i)}))
			})
			synctest.Wait()
		}
		delivering.Wait()
		f.took = time.Since(begun)
		f.overlapped = e.Observer().State().Connections.Overlapped
		e.Close()
		serving.Wait()
	})
	return f
}

// wrong says what is wrong with a fate: a message that was taken was reported so,
// or as one of which nobody can know; one that was not was not; and of those that
// were cut off nobody else suffers: all but one arrive.
func (f *fate) wrong(s *honest) (wrong []string) {
	odd := 0
	for i, report := range f.reports {
		taken, doubt := s.taken[fmt.Sprintf("r%d@example.net", i)], strings.Contains(report, "Possible duplicate!")
		if report[0] != 'K' {
			odd++
		}
		if report[0] == 'K' && taken != 1 || report[0] != 'K' && !doubt && taken != 0 || taken > 1 || report[0] == 'D' && s.answer == "" {
			wrong = append(wrong, fmt.Sprintf("%d was taken %d times and reported as %q", i, taken, report))
		}
	}
	if odd > 1 {
		wrong = append(wrong, fmt.Sprintf("%d did not arrive: %q", odd, f.reports))
	}
	return wrong
}

// endings are how a conversation may end behind so many bytes of either side.
var endings = []struct {
	name string
	ours bool // bytes
	step int
	at   func(c *cut, n int)
}{
	{"writes fail", true, 1, func(c *cut, n int) { c.upAt = n }},
	{"writes are lost", true, 5, func(c *cut, n int) { c.upAt, c.eaten = n, true }},
	{"the server leaves", false, 1, func(c *cut, n int) { c.downAt = n }},
	{"the server resets", false, 5, func(c *cut, n int) { c.downAt, c.reset = n, true }},
}

// TestCutAtEveryByte: a conversation in which messages follow one another in one
// flight ends behind each byte of either side; where bytes are only lost, behind some.
func TestCutAtEveryByte(t *testing.T) {
	w := newSevering(t)
	pristine := &honest{cut: uncut}
	f := w.deliver(t, pristine)
	if wrong := f.wrong(pristine); len(wrong) > 0 || f.overlapped != line-2 {
		t.Fatalf("%q, %d overlapped", wrong, f.overlapped)
	}
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			bytes := f.first.down
			if e.ours {
				bytes = f.first.up
			}
			for n := 0; n < bytes; n += e.step {
				s := &honest{cut: uncut}
				s.alone = n%2 == 0
				e.at(&s.cut, n)
				f := w.deliver(t, s)
				for _, wrong := range f.wrong(s) {
					t.Errorf("behind byte %d: %s", n, wrong)
				}
			}
		})
	}
}

// TestCutUnderTLS is the same under TLS, behind some of the bytes after the
// handshake, and with content so long that what follows it is in another record.
func TestCutUnderTLS(t *testing.T) {
	w := newSevering(t)
	server := &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example.net")}}
	if err := os.WriteFile(w.home+"/control/trustanchors", []byte("/nonexistent\n"), 0o644); err != nil { // opportunistic TLS never reads them
		t.Fatal(err)
	}
	// Crypto/tls makes the sixth record, which is the second message's, 7116 bytes
	// long: all of this, and a part of the commands behind it.
	text := "Subject: long\n\n" + strings.Repeat(strings.Repeat("x", 70)+"\n", 98) + strings.Repeat("x", 22) + "\n"
	if err := os.WriteFile(w.home+"/queue/mess/0/1", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pristine := &honest{cut: uncut, tls: server}
	f := w.deliver(t, pristine)
	if wrong := f.wrong(pristine); len(wrong) > 0 || f.overlapped != line-2 {
		t.Fatalf("%q, %d overlapped", wrong, f.overlapped)
	}
	for _, e := range endings {
		t.Run(e.name, func(t *testing.T) {
			from, bytes, step := 0, f.first.down, 61*e.step
			if e.ours { // that flight is in the middle, and its other record 66 bytes
				from, bytes = f.first.up/4, f.first.up*5/9
			}
			for n := from; n < bytes; n += step {
				s := &honest{cut: uncut, tls: server}
				e.at(&s.cut, n)
				f := w.deliver(t, s)
				for _, wrong := range f.wrong(s) {
					t.Errorf("behind byte %d: %s", n, wrong)
				}
			}
		})
	}
}

// TestForgetful: a server that throws away what follows content gets every message
// all the same, in some seconds each and not in as many time-outs.
func TestForgetful(t *testing.T) {
	w := newSevering(t)
	if err := os.WriteFile(w.home+"/control/timeoutremote", []byte("1200\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := &honest{cut: uncut, forgets: true}
	f := w.deliver(t, s)
	for i, report := range f.reports {
		if report[0] != 'K' || s.taken[fmt.Sprintf("r%d@example.net", i)] != 1 {
			t.Errorf("%d: %q", i, report)
		}
	}
	if f.overlapped == 0 || f.took > 2*time.Minute {
		t.Errorf("%d overlapped, in %v", f.overlapped, f.took)
	}
}

// TestOddReplies: each reply of a conversation in which messages follow one
// another is another, or none, or the last.
func TestOddReplies(t *testing.T) {
	w := newSevering(t)
	const replies = 2 + 4*line // of each message, the first is to MAIL
	for _, answer := range []string{"421 4.3.2 bye", "451 4.3.0 later", "550 5.7.1 no", "503 5.5.1 out of order", "554-5.5.1 no\r\n554 5.5.1 really", "what?", "250 ok\r\n250 ok", ""} {
		for _, leaves := range []bool{false, true} {
			t.Run(fmt.Sprintf("%q, leaves %v", answer, leaves), func(t *testing.T) {
				for n := 1; n <= replies; n++ {
					s := &honest{cut: uncut}
					s.odd, s.answer, s.leaves, s.alone = n, answer, leaves, n%2 == 0
					f := w.deliver(t, s)
					for _, wrong := range f.wrong(s) {
						t.Errorf("reply %d: %s", n, wrong)
					}
					// A server that will have no more messages in one conversation.
					if n > 3 && n%4 == 3 && strings.HasPrefix(answer, "5") && slices.ContainsFunc(f.reports[:], func(r string) bool { return r[0] != 'K' }) {
						t.Errorf("reply %d: %q", n, f.reports)
					}
				}
			})
		}
	}
}
