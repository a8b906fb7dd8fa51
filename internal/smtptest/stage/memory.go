package stage

import (
	"context"
	"hash/fnv"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postrider/internal/smtptest"
)

// Dialogues lists the files below root by name, which is the path from there
// without ".txtar".
func Dialogues(t testing.TB, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.ToSlash(path), ".txtar"); ok {
			files[strings.TrimPrefix(name, root+"/")] = path
		}
		return err
	})
	if err != nil || len(files) == 0 {
		t.Fatalf("no dialogues: %v", err)
	}
	return files
}

// Dial is remote.Engine.Dial.
type Dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)

// Dialer connects to the servers of w, which is a world of d, through memory. As
// in a Network, private addresses are nobody's, and nobody can bind them.
func Dialer(d *smtptest.Dialogue, w *smtptest.World, arrival smtptest.Arrival) Dial {
	return func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
		addr := to.String()
		s, ok := d.Servers[addr]
		switch {
		case from.IsPrivate():
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRNOTAVAIL)}
		case ok && s.Blackhole:
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: ctx.Err()}
		case w.Refuses(addr):
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
		}
		seed := fnv.New64()
		seed.Write([]byte(addr + d.Comment))
		a, b := smtptest.Pipe(64 << 10)
		client, server := smtptest.Link(a, b, arrival, seed.Sum64())
		source := ""
		if from.IsValid() {
			source = from.String()
		}
		w.Serve(addr, server, source)
		return client, nil
	}
}
