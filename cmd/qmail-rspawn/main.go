// Qmail-rspawn schedules remote deliveries for qmail-send.
//
// # SYNOPSIS
//
//	qmail-rspawn
//
// It reads delivery commands from descriptor 0 and writes to descriptor 1 how
// many deliveries it runs at a time, and then one report for each command, in
// any order. It is run by qmail-start; see qmail-rspawn(8) for the environment.
//
// # RESULTS
//
// It exits 0 when descriptor 0 has ended and every delivery has reported, 111
// if queue/mess cannot be entered.
//
// # SEE ALSO
//
// qmail-rspawn(8), qmail-remote(8), qmail-send(8)
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"

	"postrider/internal/engine"
	"postrider/internal/home"
	"postrider/internal/spawn"
	"postrider/tcpto"
)

// engineMark as argv[1] makes of this program an engine.
const engineMark = "(engine)"

func main() {
	// As stock; also without it a closed descriptor 1 would end us.
	signal.Ignore(syscall.SIGPIPE)
	// As stock; qmail-remote and its wrappers inherit it.
	if os.Chdir(filepath.Join(home.Dir(), "queue/mess")) != nil {
		os.Exit(111)
	}
	if len(os.Args) > 1 && os.Args[1] == engineMark {
		os.Exit(deliver(context.Background(), home.Dir()))
	}
	if guardReports(1, 2) != nil {
		os.Exit(111)
	}
	runtime.LockOSThread() // engines end with this thread
	self, err := os.Executable()
	if err != nil {
		os.Exit(111)
	}
	starter, done, hup := newThread(self, "qmail-rspawn", engineMark), make(chan struct{}), hangUps()
	go func() {
		defer close(done)
		front(home.Dir(), spawn.Front{Start: starter.start, Reload: hup})
	}()
	starter.serve(done)
}

// front serves qmail-send.
func front(home string, f spawn.Front) {
	runtime.GOMAXPROCS(1) // it moves frames; all that a second processor does is to be woken for it
	// As stock: after a restart every address gets a new chance. Who cannot do
	// it can deliver nevertheless.
	_ = tcpto.Clear4(filepath.Join(home, "queue/lock/tcpto"))
	_ = tcpto.Clear6(filepath.Join(home, "run/qmail-remote/tcpto6"))
	f.Limit = limit(os.Getenv("QMAILSPAWN"))
	f.Run(os.Stdin, os.Stdout)
}

// hangUps tells of SIGHUP, which ends us no more then. Whoever sends it by name
// sends it to the front, the engine, or both.
func hangUps() <-chan os.Signal {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	return hup
}

// deliver serves the front, in queue/mess.
func deliver(ctx context.Context, home string) int {
	debug.SetTraceback("crash") // the front answers for whoever dies, however
	debug.SetGCPercent(200)     // a few megabytes live: collecting them seldom costs little memory, and time is what is scarce
	mess, err := os.OpenRoot(".")
	if err != nil {
		return 111
	}
	owner, err := queueOwner(mess, lookup)
	if err != nil {
		return 111
	}
	slots := limit(os.Getenv("QMAILSPAWN"))
	d := newDeliverer(home, slots, os.LookupEnv)
	c := spawn.Config{Limit: slots, Queue: spawn.Queue{Mess: mess, Owner: owner}}
	reload, end := func() {}, func() {} // qmail-remote reads everything anew each time
	if e, ok := d.(*engine.Engine); ok {
		c.Healthy, reload = e.Healthy, e.Reload
		e.Tidy(debug.FreeOSMemory)
		unwatch := watch(e.Observer(), home)
		end = func() {
			e.Close()
			unwatch()
		}
	}
	hup := hangUps()
	go func() {
		for range hup {
			reload()
		}
	}()
	if serve(ctx, os.Stdin, os.Stdout, c, d, end) != nil {
		return 111
	}
	return 0
}
