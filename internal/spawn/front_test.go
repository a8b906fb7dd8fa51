package spawn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sender is a qmail-send: it knows what it has asked and takes reports only for
// that.
type sender struct {
	t     testing.TB
	in    io.WriteCloser
	mu    sync.Mutex
	asked map[byte]string // slot to recipient, of open slots; under mu
	free  chan byte
	said  map[string]string // recipient to report; under mu
	done  chan bool         // closed when the front has closed its output
}

func newSender(t testing.TB, limit int, in io.WriteCloser, out io.Reader) *sender {
	s := &sender{t: t, in: in, asked: map[byte]string{}, said: map[string]string{}, free: make(chan byte, limit), done: make(chan bool)}
	for slot := range limit {
		s.free <- byte(slot)
	}
	go s.listen(limit, out)
	return s
}

func (s *sender) listen(limit int, out io.Reader) {
	defer close(s.done)
	r := bufio.NewReader(out)
	if b, err := r.ReadByte(); err != nil || int(b) != limit {
		s.t.Errorf("limit %d, %v", b, err)
	}
	for {
		slot, err := r.ReadByte()
		if err != nil {
			return
		}
		line, err := r.ReadString(0)
		if err != nil {
			s.t.Errorf("half a report for slot %d: %q", slot, line)
			return
		}
		s.mu.Lock()
		rcpt, open := s.asked[slot]
		if !open {
			s.t.Errorf("slot %d was not asked, or has answered: %q", slot, line)
		}
		delete(s.asked, slot)
		s.said[rcpt] = strings.TrimSuffix(line, "\x00")
		s.mu.Unlock()
		if open {
			s.free <- slot
		}
	}
}

// ask waits for a slot and has rcpt delivered to.
func (s *sender) ask(rcpt string) {
	slot := <-s.free
	s.mu.Lock()
	s.asked[slot] = rcpt
	s.mu.Unlock()
	if _, err := io.WriteString(s.in, stream(order(slot, "1/1", rcpt))); err != nil {
		s.t.Error(err)
	}
}

// finish closes the front's input and returns what was said of each recipient.
func (s *sender) finish() map[string]string {
	s.in.Close()
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.asked) > 0 {
		s.t.Errorf("never answered: %v", s.asked)
	}
	return s.said
}

// world is engines in this process that can be killed at any byte.
type world struct {
	q       Queue
	limit   int
	d       Deliverer
	healthy func() bool
	serving sync.WaitGroup

	// What fate has for the next engine; all random, in a test's own order.
	fate func() fate
}

// fate is how an engine ends: whichever comes first.
type fate struct {
	unborn        bool          // it does not even start
	after         time.Duration // so long after its start
	hears, speaks int           // so many bytes of commands, of reports
	freezes       bool          // after that time it does not end but stands still, until it is killed
}

var errKilled = errors.New("killed")

func (w *world) start() (*Engine, error) {
	end := w.fate()
	if end.unborn {
		return nil, errKilled
	}
	in, commands := io.Pipe()
	fromEngine, out := io.Pipe()
	frozen, dead := make(chan bool), make(chan bool)
	kill := sync.OnceFunc(func() { // both pipes end, wherever they are
		in.CloseWithError(errKilled)
		out.CloseWithError(io.EOF)
		close(dead)
	})
	timer := time.AfterFunc(end.after, func() {
		if end.freezes {
			close(frozen)
			return
		}
		kill()
	})
	still := func() {
		select {
		case <-frozen:
			<-dead
		default:
		}
	}
	w.serving.Go(func() {
		c := Config{Limit: w.limit, Queue: w.q, Healthy: w.healthy}
		Serve(context.Background(), &limited{in, end.hears, kill, still}, &spoken{out, end.speaks, kill, still}, c, w.d)
		kill()
		timer.Stop()
	})
	return &Engine{Commands: commands, Reports: fromEngine, Kill: kill, End: kill}, nil
}

// limited reads n bytes and then kills.
type limited struct {
	r           io.Reader
	n           int
	kill, still func()
}

func (l *limited) Read(b []byte) (int, error) {
	if l.n == 0 {
		l.kill()
	}
	l.still()
	n, err := l.r.Read(b[:min(len(b), max(l.n, 1))])
	l.n -= n
	return n, err
}

// spoken writes n bytes and then kills.
type spoken struct {
	w           io.Writer
	n           int
	kill, still func()
}

func (s *spoken) Write(b []byte) (int, error) {
	s.still()
	n, err := s.w.Write(b[:min(len(b), s.n)])
	s.n -= n
	if n < len(b) {
		s.kill()
		return n, errKilled
	}
	return n, err
}

// chance is a fate: engines end by time, by a byte heard, by a byte spoken,
// wherever in a command or report that is, or stand still.
func chance(r *rand.Rand) fate {
	f := fate{after: time.Hour, hears: 1 << 30, speaks: 1 << 30, unborn: r.IntN(20) == 0}
	switch r.IntN(5) {
	case 0:
		f.after = time.Duration(r.IntN(2000)) * time.Millisecond
	case 1:
		f.hears = r.IntN(300)
	case 2:
		f.speaks = r.IntN(200)
	case 3:
		f.after = time.Duration(r.IntN(60)) * time.Second
	case 4:
		f.after, f.freezes = time.Duration(r.IntN(5000))*time.Millisecond, true
	}
	return f
}

// TestKills: whenever an engine dies, every command is answered once, either
// by the delivery's own report, whole, or as crashed (C80).
func TestKills(t *testing.T) {
	q := queue(t)
	worlds := 2000
	if testing.Short() {
		worlds = 300
	}
	var own, lost, frozen int
	for seed := range worlds {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			w := &world{q: q, limit: 1 + r.IntN(20), d: deliverer(slowly)}
			w.fate = func() fate { return chance(r) }
			a, b, c := once(t, w, rand.New(rand.NewPCG(uint64(seed), 8)))
			own, lost, frozen = own+a, lost+b, frozen+c
		})
	}
	t.Logf("%d deliveries reported, %d crashed, %d hung", own, lost, frozen)
	if own < worlds || lost < worlds || frozen < worlds/2 {
		t.Error("the dice are loaded")
	}
}

// slowly takes the time that the recipient says.
func slowly(_ context.Context, d Delivery) []byte {
	var n, ms int
	fmt.Sscanf(d.Recipient, "%d-%d@", &n, &ms)
	time.Sleep(time.Duration(ms) * time.Millisecond)
	if ms%50 == 0 {
		panic("unlucky")
	}
	return []byte("K" + d.Recipient + "\n")
}

// once is the life of one front, and counts deliveries reported, lost by the
// death of an engine, and lost in one that hung.
func once(t *testing.T, w *world, r *rand.Rand) (own, lost, frozen int) {
	in, toFront := io.Pipe()
	fromFront, out := io.Pipe()
	var front sync.WaitGroup
	front.Go(func() {
		Front{Limit: w.limit, Start: w.start}.Run(in, out)
		out.Close()
	})
	s := newSender(t, w.limit, toFront, fromFront)
	asked := 5 + r.IntN(40)
	for i := range asked {
		s.ask(fmt.Sprintf("%d-%d@b", i, r.IntN(3000)))
		if r.IntN(3) == 0 {
			time.Sleep(time.Duration(r.IntN(1500)) * time.Millisecond)
		}
	}
	said := s.finish()
	front.Wait()
	w.serving.Wait()
	if len(said) != asked {
		t.Errorf("%d asked, %d answered", asked, len(said))
	}
	for rcpt, line := range said {
		switch line {
		case "K" + rcpt + "\n":
			own++
		case crashed, "Zqmail-spawn unable to fork. (#4.3.0)\n":
			lost++
		case hung:
			frozen++
		default:
			t.Errorf("%s: %q", rcpt, line)
		}
	}
	return own, lost, frozen
}

// TestPauses: engines that die at once are started ever more slowly, at the
// slowest every 5 seconds; one that has lived well starts the count anew.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pauses []time.Duration
		last, n := time.Now(), 0
		w := &world{q: queue(t), limit: 1, d: deliverer(slowly)}
		w.fate = func() fate {
			pauses = append(pauses, time.Since(last))
			n++
			f := fate{after: 0, hears: 1 << 30, speaks: 1 << 30}
			if n == 9 {
				f.after = time.Minute
			}
			last = time.Now().Add(f.after)
			return f
		}
		in, toFront := io.Pipe()
		fromFront, out := io.Pipe()
		go func() { Front{Limit: 1, Start: w.start}.Run(in, out); out.Close() }()
		s := newSender(t, 1, toFront, fromFront)
		for i := range 12 {
			s.ask(fmt.Sprintf("%d-70001@b", i))
		}
		s.finish()
		w.serving.Wait()
		ms := time.Millisecond
		want := []time.Duration{0, 0, 100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 5000 * ms, 0, 100 * ms, 200 * ms}
		if fmt.Sprint(pauses) != fmt.Sprint(want) {
			t.Errorf("got %v", pauses)
		}
	})
}

// TestFrontRefuses: what the front refuses never reaches the engine, and opens
// no slot.
func TestFrontRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{q: queue(t), limit: 2, d: deliverer(slowly), fate: func() fate { return fate{after: time.Hour, hears: 1 << 30, speaks: 1 << 30} }}
		var out strings.Builder
		in := stream(order(1, "1/1", "0-1001@b"), order(1, "1/1", "1-1001@b"), order(2, "1/1", "2-1001@b"), order(0, strings.Repeat("1", maxCommand+1), "x"), order(0, "x", "x"))
		Front{Limit: 2, Start: w.start}.Run(strings.NewReader(in+"\x001/"), &out)
		w.serving.Wait()
		says(t, []byte(out.String()), map[byte][]string{
			0: {"Zqmail-spawn out of memory. (#4.3.0)\n", "DInternal error: messid has nonnumerics. (#5.3.5)\n"},
			1: {"ZInternal error: delnum in use. (#4.3.5)\n", "K0-1001@b\n"},
			2: {"ZInternal error: delnum too big. (#4.3.5)\n"},
		})
	})
}

// TestStrangeEngine: an engine that says too much, or what it was not asked, is
// kept from qmail-send.
func TestStrangeEngine(t *testing.T) {
	start := func() (*Engine, error) {
		in, commands := io.Pipe()
		fromEngine, out := io.Pipe()
		go func() {
			readReport(bufio.NewReader(in)) // slot and messid
			go io.Copy(io.Discard, in)
			io.WriteString(out, "\x05\x03Knobody asked\x00\x00K"+strings.Repeat("x", 3*maxReport)+"\x00\x00Ktwice\x00\xffK\x00")
			out.Close()
		}()
		return &Engine{Commands: commands, Reports: fromEngine, Kill: func() {}, End: func() { in.Close() }}, nil
	}
	var out strings.Builder
	Front{Limit: 5, Start: start}.Run(strings.NewReader(stream(order(0, "1/1", "a@b"), order(1, "1/1", "a@b"))), &out)
	says(t, []byte(out.String()), map[byte][]string{0: {"K" + strings.Repeat("x", maxReport-3)}, 1: {crashed}})
}
