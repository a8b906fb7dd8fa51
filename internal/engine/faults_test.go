package engine

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"postrider/internal/moody"
	"postrider/internal/smtptest"
)

// unwell routes domains d0.example, d1.example, … to servers that are ill as
// often as that, of a thousand answers; every other one speaks TLS.
func (w *world) unwell(domains, ill int) *moody.Servers {
	w.t.Helper()
	seed := rand.Uint64()
	w.t.Logf("seed %d", seed)
	s := moody.New(moody.Config{Seed: seed, Ill: ill, TLS: &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.example")}}})
	var routes strings.Builder
	for i := range domains {
		port, err := s.Listen()
		if err != nil {
			w.t.Fatal(err)
		}
		routes.WriteString(w.route(fmt.Sprintf("d%d.example", i), port))
	}
	w.control("smtproutes", routes.String())
	w.control("trustanchors", "/nonexistent\n") // opportunistic TLS never reads them
	w.control("timeoutremote", "4\n")           // for servers that stall; the others answer by then on a busy machine too
	return s
}

// wellKept fails if servers saw what must not be, or not all that there is.
func wellKept(t *testing.T, s *moody.Servers, tally map[string]int) {
	t.Helper()
	c := s.Counts()
	t.Logf("reports: %v; servers: %+v", tally, c)
	if len(c.Wrong) > 0 {
		t.Errorf("what no client may say: %q", c.Wrong)
	}
	if c.Reused == 0 || c.Secured == 0 || c.Resumed == 0 || c.Chunks == 0 {
		t.Errorf("no conversation was used again, under TLS or not, or no session, or no BDAT: %+v", c)
	}
	for _, what := range []string{"K", "Z", "D", "Z?"} {
		if tally[what] == 0 {
			t.Errorf("no report of the kind %s", what)
		}
	}
}

// everyMood fails if some fault was never there.
func everyMood(t *testing.T, s *moody.Servers) {
	t.Helper()
	did := s.Counts().Did
	for _, m := range moody.Moods() {
		if did[m] == 0 {
			t.Errorf("no server was ever in the mood %v", m)
		}
	}
}

// kind is a report's letter, and ? where it leaves open whether the message is out.
func kind(report string) string {
	if strings.Contains(report, "Possible duplicate!") {
		return report[:1] + "?"
	}
	return report[:1]
}

// TestLedger: thousands of deliveries to unwell servers. What is reported as
// accepted was taken exactly once; what is not was not taken at all, unless the
// report says that it may have been.
func TestLedger(t *testing.T) {
	t.Run("side by side", func(t *testing.T) {
		w := newWorld(t)
		everyMood(t, w.ledger(40, 100))
	})
	t.Run("one behind the other", func(t *testing.T) {
		w := newWorld(t)
		w.control("concurrencyperhost", "1\n")
		w.ledger(8, 40)
		if w.engine.Observer().State().Connections.Overlapped == 0 {
			t.Error("nothing overlapped")
		}
	})
}

// ledger delivers to so many domains, whose servers are so ill.
func (w *world) ledger(domains, ill int) *moody.Servers {
	const messages, perMessage = 400, 5
	t := w.t
	s := w.unwell(domains, ill)
	lines := make([]string, messages*perMessage)
	name := func(i int) (id, rcpt string) {
		return fmt.Sprintf("0/%d", i/perMessage), fmt.Sprintf("r%d@d%d.example", i, i/perMessage%domains)
	}
	slots := make(chan struct{}, 200)
	var all sync.WaitGroup
	for i := range lines {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			id, rcpt := name(i)
			lines[i] = w.deliver(id, "me@engine.example", rcpt)
		})
	}
	all.Wait()
	w.engine.Close()
	s.Close()
	tally := map[string]int{}
	for i, line := range lines {
		tally[kind(line)]++
		id, rcpt := name(i)
		if wrong := s.Lie(line, id, rcpt); wrong != "" {
			t.Error(wrong)
		}
	}
	wellKept(t, s, tally)
	return s
}
