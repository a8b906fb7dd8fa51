package main

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"postrider/inbound"
	"postrider/inbound/tlsd"
	"postrider/inbound/tlsd/options"
	"postrider/internal/fdconn"
)

// server is one run.
type server struct {
	log     logger
	options options.Options
	env     inbound.Env
	answer  bool // the program wants to hear what session there is
}

// serve does what the program has asked for.
func (t *server) serve(ctx context.Context) error {
	program, err := tlsd.NewProgram(fromProgram, toProgram)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with the program, or with us
		<-program.Gone()
		cancel()
	}()
	config, err := t.prepare()
	if err != nil {
		return err
	}
	conn, err := network()
	if err != nil {
		return err
	}
	session, err := tlsd.Handshake(ctx, conn, config)
	if err != nil {
		return err
	}
	t.log.say(2, session.String())
	if t.answer {
		// A program that does not read it is gone, which shows soon enough.
		_ = fdconn.WriteAll(control, tlsd.Block(session.Records()))
		unix.Close(control)
	}
	return session.Carry(program, t.options)
}

// prepare reads all files and then gives up the right to read any.
func (t *server) prepare() (tlsd.Config, error) {
	c := tlsd.Config{Time: t.options.Handshake}
	rights, err := tlsd.RightsOf(t.env, os.Geteuid(), os.Getegid())
	if err != nil {
		return c, err
	}
	warn := func(err error) { t.log.say(1, err.Error()) }
	if c.Keys, err = tlsd.LoadKeys(t.env, t.options.SNI, os.ReadFile, warn); err != nil {
		return c, err
	}
	if c.Clients, err = tlsd.LoadClients(t.env, t.options.Client, os.ReadFile, names); err != nil {
		return c, err
	}
	return c, rights.Drop()
}

// names lists a directory.
func names(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list, nil
}

// network is the connection on 0 and 1, which then are nothing any more: where
// they are pipes, who reads them must see our end.
func network() (*fdconn.Conn, error) {
	conn, err := fdconn.New(0, 1)
	if err != nil {
		return nil, err
	}
	nothing, err := unix.Eventfd(0, unix.EFD_CLOEXEC) // there need be no /dev/null in a chroot
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	unix.Dup3(nothing, 0, unix.O_CLOEXEC)
	unix.Dup3(nothing, 1, unix.O_CLOEXEC)
	unix.Close(nothing)
	return conn, nil
}
