package spawn

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// patience is the front's.
const patience = 5 * time.Minute

// hospital is a front in simulated time, whose engines are well for ever unless
// the test says otherwise.
type hospital struct {
	world
	*sender
	begun  time.Time
	front  sync.WaitGroup
	mu     sync.Mutex
	starts []time.Duration // of engines; under mu
}

func admit(t *testing.T, d deliverer, fates ...fate) *hospital {
	h := &hospital{begun: time.Now()}
	h.q, h.limit, h.d = queue(t), 20, d
	h.fate = func() fate {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.starts = append(h.starts, time.Since(h.begun))
		if n := len(h.starts); n <= len(fates) {
			return fates[n-1]
		}
		return fate{after: 1 << 60, hears: 1 << 30, speaks: 1 << 30}
	}
	in, toFront := io.Pipe()
	fromFront, out := io.Pipe()
	h.front.Go(func() {
		Front{Limit: h.limit, Start: h.start}.Run(in, out)
		out.Close()
	})
	h.sender = newSender(t, h.limit, toFront, fromFront)
	return h
}

// at waits until so long after the beginning.
func (h *hospital) at(since time.Duration) { time.Sleep(since - time.Since(h.begun)) }

// heard is what has been said so far.
func (h *hospital) heard() string {
	synctest.Wait()
	h.sender.mu.Lock()
	defer h.sender.mu.Unlock()
	var list []string
	for rcpt, line := range h.said {
		list = append(list, rcpt+" "+strings.TrimSuffix(line, "\n"))
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

func (h *hospital) discharge(starts ...time.Duration) {
	h.finish()
	h.front.Wait()
	h.serving.Wait()
	if fmt.Sprint(h.starts) != fmt.Sprint(starts) {
		h.t.Errorf("engines started at %v, want %v", h.starts, starts)
	}
}

func (h *hospital) hears(want string) {
	h.t.Helper()
	if got := h.heard(); got != want {
		h.t.Errorf("after %v heard %q, not %q", time.Since(h.begun), got, want)
	}
}

// forSeconds takes the time that the recipient says, in seconds.
func forSeconds(_ context.Context, d Delivery) []byte {
	var s int
	fmt.Sscanf(d.Recipient, "%d@", &s)
	time.Sleep(time.Duration(s) * time.Second)
	return []byte("K\n")
}

// TestFrozen: an engine that stands still is killed in the second patience, its
// deliveries are then in doubt, and what was ordered in between is the next one's.
func TestFrozen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := admit(t, forSeconds, fate{after: 45 * time.Second, freezes: true, hears: 1 << 30, speaks: 1 << 30})
		h.ask("10@b")
		h.ask("50@b")
		h.at(40 * time.Second) // its last pulse was at 30 s
		h.ask("20@b")
		h.at(6 * time.Minute)
		h.ask("1@b")
		h.ask("30@b")
		h.at(30*time.Second + 2*patience - 1)
		h.hears("10@b K")
		h.at(30*time.Second + 2*patience)
		h.hears("10@b K, 20@b " + strings.TrimSpace(hung) + ", 50@b " + strings.TrimSpace(hung))
		h.at(12 * time.Minute)
		h.hears("10@b K, 1@b K, 20@b " + strings.TrimSpace(hung) + ", 30@b K, 50@b " + strings.TrimSpace(hung))
		h.discharge(0, 30*time.Second+2*patience)
	})
}

// TestPatient: deliveries may take for ever, as long as the engine pulses.
func TestPatient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := admit(t, forSeconds)
		h.ask("1000000@b")
		h.at(999999 * time.Second)
		h.ask("0@b")
		h.hears("0@b K")
		h.at(1000001 * time.Second)
		h.hears("0@b K, 1000000@b K")
		h.discharge(0)
	})
}

// TestUnhealthy: an engine that says of itself that a delivery hangs gets no
// more to do; the deliveries that are well end well, and the one that is not is
// answered when it can deliver no more.
func TestUnhealthy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ill bool
		var mu sync.Mutex
		h := admit(t, func(ctx context.Context, d Delivery) []byte {
			if d.Host != "hangs" {
				return forSeconds(ctx, d)
			}
			mu.Lock()
			ill = true
			mu.Unlock()
			time.Sleep(24 * time.Hour)
			return []byte("Klate\n") // to nobody: the engine has been killed
		})
		h.healthy = func() bool { mu.Lock(); defer mu.Unlock(); return !ill }
		h.ask("400@b")
		h.ask("0@hangs")
		h.at(patience + time.Second) // in doubt
		h.ask("5@b")
		h.at(2*patience - 1)
		h.hears("400@b K")
		h.at(2 * patience)
		h.hears("0@hangs " + strings.TrimSpace(hung) + ", 400@b K")
		mu.Lock()
		ill = false // the next one is well
		mu.Unlock()
		h.at(2*patience + 5*time.Second)
		h.hears("0@hangs " + strings.TrimSpace(hung) + ", 400@b K, 5@b K")
		h.discharge(0, 2*patience)
	})
}

// TestRecovers: an engine that pulses again has never been in doubt.
func TestRecovers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := admit(t, forSeconds)
		h.healthy = func() bool { return time.Since(h.begun)%(2*patience) > patience+time.Minute }
		h.ask("0@b")
		h.hears("0@b K")
		for n := range time.Duration(20) {
			h.at(2*n*patience + patience + time.Second) // in doubt
			rcpt := fmt.Sprintf("0@%d", n)
			h.ask(rcpt)
			if strings.Contains(h.heard(), rcpt) {
				t.Errorf("%s was not held", rcpt)
			}
			h.at(2*n*patience + patience + time.Minute + pulse)
			if !strings.Contains(h.heard(), rcpt+" K") {
				t.Errorf("%s was not released", rcpt)
			}
		}
		h.discharge(0)
	})
}

// TestEndInDoubt: when qmail-send goes, what waits is given to whom there is.
func TestEndInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		well := fate{after: 1 << 60, hears: 1 << 30, speaks: 1 << 30}
		ill := fate{freezes: true, hears: 1 << 30, speaks: 1 << 30}
		for reason, c := range map[string]struct {
			fate   fate
			want   string
			starts []time.Duration
		}{
			"well":   {well, "1@b K, 2@b K", []time.Duration{0}},
			"frozen": {ill, "1@b " + strings.TrimSpace(hung) + ", 2@b " + strings.TrimSpace(hung), []time.Duration{0}},
		} {
			h := admit(t, forSeconds, c.fate)
			h.healthy = func() bool { return false }
			h.ask("1@b")
			h.at(patience + time.Second)
			h.ask("2@b")
			h.discharge(c.starts...)
			if got := h.heard(); got != c.want {
				t.Errorf("%s: %s", reason, got)
			}
		}
	})
}

// TestPulseStops: an engine whose look at itself never ends is no better than
// one that is ill.
func TestPulseStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := admit(t, forSeconds)
		stuck := make(chan bool)
		h.healthy = func() bool { <-stuck; return true }
		h.ask("700@b")
		h.at(2 * patience)
		h.hears("700@b " + strings.TrimSpace(hung))
		close(stuck)
		h.discharge(0)
	})
}

// TestLastPulse: a pulse that comes too late saves nobody, and what was held is
// not given to who is being killed.
func TestLastPulse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hospital{begun: time.Now()}
		h.q, h.limit, h.d = queue(t), 20, deliverer(forSeconds)
		h.fate = func() fate {
			h.starts = append(h.starts, time.Since(h.begun))
			return fate{after: 1 << 60, hears: 1 << 30, speaks: 1 << 30}
		}
		var heard strings.Builder // by the first engine
		first := true
		in, toFront := io.Pipe()
		fromFront, out := io.Pipe()
		h.front.Go(func() {
			Front{Limit: h.limit, Start: func() (*Engine, error) {
				if !first {
					return h.start()
				}
				first = false
				in, commands := io.Pipe()
				fromEngine, out := io.Pipe()
				h.serving.Go(func() { io.Copy(&heard, in) })
				h.serving.Go(func() { out.Write([]byte{byte(h.limit)}) })
				kill := func() {
					h.serving.Go(func() {
						out.Write([]byte{pulseSlot, 0})
						time.Sleep(time.Second)
						out.Close()
					})
				}
				return &Engine{Commands: commands, Reports: fromEngine, Kill: kill, End: func() { in.Close() }}, nil
			}}.Run(in, out)
			out.Close()
		})
		h.sender = newSender(t, h.limit, toFront, fromFront)
		h.ask("1@b")
		h.at(patience + time.Second)
		h.ask("2@b")
		h.at(2*patience + 5*time.Second)
		h.hears("1@b " + strings.TrimSpace(hung) + ", 2@b K")
		h.discharge(2*patience + time.Second)
		if strings.Contains(heard.String(), "2@b") {
			t.Errorf("the first engine was told %q", heard.String())
		}
	})
}
