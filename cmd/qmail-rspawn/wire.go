package main

import (
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"postrider/internal/engine"
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
