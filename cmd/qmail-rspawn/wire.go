package main

import (
	"context"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/internal/engine"
	"postrider/internal/observe"
	"postrider/internal/spawn"
)

// defaultLimit is how many deliveries run at a time, as a number from 1 to 255;
// make sets it with -ldflags "-X main.defaultLimit=120". Nothing else writes it.
var defaultLimit = "255"

// limit is the number of deliveries at a time: what QMAILSPAWN says, if that
// lowers the default.
func limit(env string) int {
	most, err := strconv.Atoi(defaultLimit)
	if err != nil || most < 1 || most > spawn.MaxLimit {
		most = spawn.MaxLimit
	}
	if n, err := strconv.Atoi(env); err == nil && n >= 1 && n < most {
		return n
	}
	return most
}

// newDeliverer is how a delivery is done: by the program that QMAILREMOTE
// names, which is also its argv[0], as stock has it, or in this process.
// Stock bounces all mail if QMAILREMOTE is empty; here it is then as unset.
func newDeliverer(home string, slots int, env func(string) (string, bool)) spawn.Deliverer {
	if program, _ := env("QMAILREMOTE"); program != "" {
		path, set := env("PATH")
		if !set {
			path = "/bin:/usr/bin" // as execvp(3)
		}
		return &spawn.Exec{Name: program, Program: program, Path: path}
	}
	return engine.New(home, slots)
}

// queueOwner is who must own messages: the user qmailq, or, where no such user
// is known, the owner of queue/mess, whom qmail's installation has made the same.
func queueOwner(mess *os.Root, lookup func(string) (uid uint32, known bool)) (uint32, error) {
	if uid, known := lookup("qmailq"); known {
		return uid, nil
	}
	s, err := mess.Stat(".")
	if err != nil {
		return 0, err
	}
	st, ok := s.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, &fs.PathError{Op: "stat", Path: "queue/mess", Err: syscall.ENOTSUP}
	}
	return st.Uid, nil
}

// lookup finds a user's number.
func lookup(name string) (uint32, bool) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, false
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(uid), err == nil
}

// guardReports makes of descriptor log /dev/null where it is the same as
// descriptor reports, or cannot be written to: lines of the log, or what a
// crashing engine says, would be reports to qmail-send.
func guardReports(reports, log int) error {
	var r, l unix.Stat_t
	flags, err := unix.FcntlInt(uintptr(log), unix.F_GETFL, 0)
	if err == nil {
		err = unix.Fstat(log, &l)
	}
	writable := err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY
	if writable && (unix.Fstat(reports, &r) != nil || r.Dev != l.Dev || r.Ino != l.Ino) {
		return nil
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	return unix.Dup3(int(null.Fd()), log, 0)
}

// serve serves the front, and then ends: only when end is done may the front read the
// end of our reports, for then it ends us. So both pipes stay in use until here, or
// the garbage collector would close what nobody uses any more.
func serve(ctx context.Context, stdin, stdout *os.File, c spawn.Config, d spawn.Deliverer, end func()) error {
	in, out := pollable(stdin), pollable(stdout)
	defer in.Close()
	defer out.Close()
	defer end()
	return spawn.Serve(ctx, in, out, c, d)
}

// pollable is a pipe that this process alone has its end of, so that to wait for
// it takes no thread.
func pollable(f *os.File) *os.File {
	if syscall.SetNonblock(int(f.Fd()), true) != nil {
		return f
	}
	return os.NewFile(f.Fd(), f.Name())
}

// watch opens what the engine is observed by: its socket, where there can be
// one, and the log, unless descriptor 2 is /dev/null, as under qmail-start.
func watch(o *observe.Observer, home string) (stop func()) {
	endLog := func() {}
	if own, err := os.Stderr.Stat(); err == nil {
		if null, err := os.Stat(os.DevNull); err != nil || !os.SameFile(own, null) {
			endLog = o.LogTo(os.Stderr)
		}
	}
	endServe, _ := o.Serve(filepath.Join(home, "run/qmail-remote/engine.sock")) // without it mail goes as well
	return func() {
		endServe()
		endLog()
	}
}
