package main

import (
	"crypto/tls"
	"net"
	"net/netip"
	"net/rpc"
	"net/rpc/jsonrpc"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/bench/relay"
	"postrider/bench/role"
	"postrider/internal/nettest"
	"postrider/internal/sink"
	"postrider/internal/smtptest"
)

const (
	roleFar   = "far"   // the server, and the relay before it
	roleMany  = "many"  // an engine with thousands of deliveries, see many.go
	roleShake = "shake" // handshakes alone, see handshakes.go
	roleBare  = "bare"  // the least that delivers, see bare.go
)

var roles = map[string]func() error{roleFar: farSide, roleMany: manyEngine, roleShake: shakeHands, roleBare: bareClient}

// Both ends of the line, and the addresses of the servers at its far end.
var (
	nearEnd = netip.MustParsePrefix("198.18.0.1/15")
	farEnd  = netip.MustParsePrefix("198.18.0.2/15")
	servers = netip.MustParsePrefix("198.19.0.0/16")
)

// nearTUN is the descriptor of the near interface in the far role.
const nearTUN = 3

// far is what the far side is asked to do, by way of net/rpc.
type far struct {
	relay *relay.Relay
	mail  *sink.Server
}

// Mail is what the far side offers.
type Mail struct {
	OneWay        time.Duration
	TLS, Chunking bool
}

// Ledger is what came there since it was last asked for.
type Ledger struct{ Taken, Sessions int64 }

// Serve starts a server for all addresses in place of the last one.
func (f *far) Serve(m Mail, _ *bool) error {
	f.relay.Delay(m.OneWay)
	if f.mail != nil {
		f.mail.Close()
	}
	l, err := net.Listen("tcp4", ":25")
	if err != nil {
		return err
	}
	c := sink.Config{Chunking: m.Chunking}
	if m.TLS {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{smtptest.Certificate("mx.bench.example")}}
	}
	f.mail = sink.Serve(l, c)
	return nil
}

// Ledger tells what came.
func (f *far) Ledger(_ bool, l *Ledger) error {
	*l = Ledger{f.mail.Taken.Swap(0), f.mail.Sessions.Swap(0)}
	return nil
}

// stdio is descriptors 0 and 1 as one.
type stdio struct{}

func (stdio) Read(b []byte) (int, error)  { return os.Stdin.Read(b) }
func (stdio) Write(b []byte) (int, error) { return os.Stdout.Write(b) }
func (stdio) Close() error                { return os.Stdin.Close() }

// farSide is main for the far role.
func farSide() error {
	// Handing a file to a child makes it blocking; the poller needs it otherwise.
	if err := syscall.SetNonblock(nearTUN, true); err != nil {
		return err
	}
	tun, err := relay.OpenTUN("far0", farEnd)
	if err != nil {
		return err
	}
	if err := nettest.Local(servers); err != nil {
		return err
	}
	f := &far{relay: relay.New()}
	failed := make(chan error, 2)
	go func() { failed <- f.relay.Join(os.NewFile(nearTUN, "near"), tun) }()
	server := rpc.NewServer()
	if err := server.RegisterName("far", f); err != nil {
		return err
	}
	go func() {
		server.ServeCodec(jsonrpc.NewServerCodec(stdio{})) // until the other side goes
		failed <- nil
	}()
	return <-failed
}

// startFar starts the far side, behind a line to the namespace we are in.
func startFar() (*rpc.Client, *exec.Cmd, error) {
	tun, err := relay.OpenTUN("near0", nearEnd)
	if err != nil {
		return nil, nil, err
	}
	defer tun.Close()
	cmd := role.Again(roleFar, unix.CLONE_NEWNET)
	cmd.ExtraFiles = []*os.File{tun} // nearTUN
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	return jsonrpc.NewClient(struct {
		readCloser
		writer
	}{out, in}), cmd, nil
}

type readCloser interface {
	Read([]byte) (int, error)
	Close() error
}

type writer interface{ Write([]byte) (int, error) }
