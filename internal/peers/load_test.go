package peers

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const crowd = 500 // deliveries at the same time

// TestRemoteCrowd has a crowd of qmail-remote in flight at once: each must say K once, each message must arrive
// once. The server is stopped until all have connected, so that the early ones cannot be done before the late.
func TestRemoteCrowd(t *testing.T) {
	for _, s := range servers {
		for _, tls := range []bool{false, true} {
			name := s.name + " in clear"
			if tls {
				name = s.name + " under TLS"
			}
			t.Run(name, func(t *testing.T) {
				ca := NewAuthority(t)
				p := s.start(t, ServerConfig{Listen: where, Cert: ca.Issue(t, "mx.example.net")})
				files := routed
				if tls {
					files = routed.with("trustanchors", ca.File)
				}
				crowded := gather(t, p, files.home(t))
				stop := make(chan struct{})
				peak := watchMemory(stop)
				began := time.Now()
				for r, n := range crowded() {
					if r.letters() != "rK" || strings.Contains(string(r), "TLS: ") != tls {
						t.Errorf("%d of %d report %q", n, crowd, r)
					}
				}
				took := time.Since(began)
				close(stop)
				m := <-peak
				arrivedOnce(t, p.Wait(t, crowd))
				t.Logf("%d at once: %v, peak %d processes of ours in %d MB (PSS)", crowd, took.Round(time.Millisecond), m.processes, m.kB/1024)
				if m.processes < crowd {
					t.Errorf("never more than %d at once", m.processes)
				}
			})
		}
	}
}

// gather starts the crowd and returns once all are there. The function it returns lets the server work, and counts
// equal reports, with the reply text, which differs, cut off.
func gather(t *testing.T, s *Server, home string) func() map[reports]int {
	t.Helper()
	said := make(chan reports, crowd)
	s.signal(t, syscall.SIGSTOP)
	for i := range crowd {
		rcpt := fmt.Sprintf("u%d@example.net", i)
		cmd := delivery{home, "example.net", "me@example.org", []string{rcpt}, sample}.command(t)
		go func() { said <- withoutReply(output(t, cmd)) }()
	}
	s.until(t, "be met by all", func() bool { return len(processes()) >= crowd })
	return func() map[reports]int {
		s.signal(t, syscall.SIGCONT)
		counts := map[reports]int{}
		for range crowd {
			counts[<-said]++
		}
		return counts
	}
}

// signal reaches the daemon and its children.
func (p *process) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil {
		t.Fatal(err)
	}
}

// withoutReply drops the server's words from K, and keeps a last line about TLS.
func withoutReply(r reports) reports {
	before, after, ok := strings.Cut(string(r), "Remote host said: 250")
	if !ok {
		return r
	}
	_, after, _ = strings.Cut(after, "\n")
	return reports(before + after)
}

func arrivedOnce(t *testing.T, got []Message) {
	t.Helper()
	copies := map[string]int{}
	for _, m := range got {
		copies[m.Recipient]++
		if m.Text != sample {
			t.Errorf("%s has %q", m.Recipient, m.Text)
		}
	}
	for i := range crowd {
		if n := copies[fmt.Sprintf("u%d@example.net", i)]; n != 1 {
			t.Errorf("u%d has %d copies", i, n)
		}
	}
	if len(got) != crowd {
		t.Errorf("%d copies, want %d", len(got), crowd)
	}
}

type memory struct{ processes, kB int }

// watchMemory samples the proportional set size of all processes of ours, now and until stop is closed, then tells the
// largest sum and the largest number seen.
func watchMemory(stop <-chan struct{}) <-chan memory {
	result := make(chan memory, 1)
	first := sampleMemory()
	go func() {
		peak := first
		tick := time.NewTicker(time.Second) // seldom: reading smaps costs the processes more than they cost
		defer tick.Stop()
		for {
			select {
			case <-stop:
				result <- peak
				return
			case <-tick.C:
				now := sampleMemory()
				peak.processes, peak.kB = max(peak.processes, now.processes), max(peak.kB, now.kB)
			}
		}
	}()
	return result
}

// sampleMemory adds up Pss in /proc/PID/smaps_rollup.
func sampleMemory() memory {
	var sum memory
	for _, dir := range processes() {
		if kB := pss(dir); kB > 0 {
			sum.processes++
			sum.kB += kB
		}
	}
	return sum
}

// processes lists /proc/PID of everything that runs from our directory of programs.
func processes() []string {
	exes, _ := filepath.Glob("/proc/[0-9]*/exe") // the pattern is well formed
	var dirs []string
	for _, exe := range exes {
		if path, err := os.Readlink(exe); err == nil && strings.HasPrefix(path, work+"/bin/") {
			dirs = append(dirs, filepath.Dir(exe))
		}
	}
	return dirs
}

// pss is 0 for a process that has just ended.
func pss(dir string) int {
	f, err := os.Open(filepath.Join(dir, "smaps_rollup"))
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if f := strings.Fields(lines.Text()); len(f) == 3 && f[0] == "Pss:" {
			kB, _ := strconv.Atoi(f[1])
			return kB
		}
	}
	return 0
}
