package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"postrider/bench/relay"
	"postrider/bench/role"
	"postrider/internal/dnstest"
	"postrider/internal/nettest"
)

// domain is where all mail goes.
const domain = "bench.example"

// rig is the network, the servers and the files of a run. One goroutine owns it.
type rig struct {
	o         options
	programs  []program
	baselines []*idler // what a delivery's processor time is compared with
	dir       string   // of all files; home is in it
	home      string
	private   bool   // the network is our own
	why       string // nothing could be relayed, in words; empty: packets are

	near, far *line[order, heard]
	link      *line[linkOrder, linkReport] // nil without relay
	children  []*exec.Cmd
	wrong     []string // deliveries that went wrong
	next      int      // number of the next delivery
}

// newRig moves the process into a network of its own, if it can, and starts the
// servers.
func newRig(o options) (*rig, error) {
	r := &rig{o: o}
	if err := r.find(); err != nil {
		return nil, err
	}
	own := nettest.Space{Local: []netip.Prefix{netip.PrefixFrom(nearServer, 24).Masked()}, Mounts: true}
	err := own.Enter()
	switch {
	case err == nil:
		r.private = true
	case o.vs != "":
		// They would read the machine's own control files.
		return nil, fmt.Errorf("-vs: %w", err)
	default:
		r.why = err.Error()
	}
	// A helper that outlives its parent is ours to wait for, and its time counts.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("become the parent of orphans: %w", err)
	}
	if r.dir, err = os.MkdirTemp("", "postrider-bench-"); err != nil {
		return nil, err
	}
	r.home = filepath.Join(r.dir, "home")
	if err := errors.Join(r.copyPrograms(), r.makeHome(), r.start()); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// makeHome writes what qmail's installation would have, and a message.
func (r *rig) makeHome() error {
	for _, d := range []string{"control", "queue/lock", "run/qmail-remote"} {
		if err := os.MkdirAll(filepath.Join(r.home, d), 0o755); err != nil {
			return err
		}
	}
	return errors.Join(
		r.write("control/me", "client.example\n"),
		r.write("queue/lock/tcpto", strings.Repeat("\x00", 1024)),
		os.WriteFile(r.message(), content(r.o.size), 0o644),
	)
}

func (r *rig) write(name, text string) error {
	return os.WriteFile(filepath.Join(r.home, name), []byte(text), 0o644)
}

func (r *rig) message() string { return filepath.Join(r.dir, "message") }

// content is a message of about size bytes, in lines of 76.
func content(size int) []byte {
	head := "From: bench@client.example\nSubject: bench\n\n"
	line := strings.Repeat("postrider ", 8)[:75] + "\n"
	text := head + strings.Repeat(line, max(size-len(head), 0)/len(line)+1)
	return append([]byte(text[:max(size, len(head))-1]), '\n')
}

// start brings up the servers, and the relay where that is possible.
func (r *rig) start() error {
	if r.private {
		if err := r.mounts(); err != nil {
			return err
		}
	}
	var err error
	if r.near, err = r.startNear(); err != nil {
		return err
	}
	if r.private {
		tun, err := relay.OpenTUN("near0", nearEnd)
		if err != nil {
			r.why = err.Error()
			return nil
		}
		defer tun.Close()
		return r.startFar(tun)
	}
	return nil
}

// mounts puts our resolver into /etc/resolv.conf, and our home where other
// programs look for theirs, for this process and its children alone.
func (r *rig) mounts() error {
	conf := filepath.Join(r.dir, "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(conf, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount resolv.conf: %w", err)
	}
	if r.o.vs == "" {
		return nil
	}
	if err := makeMountPoint(r.o.vsHome); err != nil {
		return err
	}
	if err := unix.Mount(r.home, r.o.vsHome, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", r.o.vsHome, err)
	}
	return nil
}

// makeMountPoint makes dir exist in our own view of the files only: under a
// fresh file system over the first directory above it that exists.
func makeMountPoint(dir string) error {
	above := dir
	for {
		if _, err := os.Stat(above); err == nil {
			break
		}
		above = filepath.Dir(above)
	}
	if above == dir {
		return nil
	}
	if err := unix.Mount("bench", above, "tmpfs", 0, ""); err != nil {
		return fmt.Errorf("mount over %s: %w", above, err)
	}
	return os.MkdirAll(dir, 0o755)
}

func (r *rig) startNear() (*line[order, heard], error) {
	cmd := role.Again(roleNear, 0)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	r.children = append(r.children, cmd)
	return newLine[order, heard](in, out), cmd.Start()
}

// startFar starts the relay, and behind it the far server.
func (r *rig) startFar(tun *os.File) error {
	cmd := role.Again(roleLink, unix.CLONE_NEWNET)
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	ordersOut, orders, err := os.Pipe()
	if err != nil {
		return err
	}
	reports, reportsIn, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd.ExtraFiles = []*os.File{tun, ordersOut, reportsIn} // nearTUN, linkOrders, linkReports
	r.children = append(r.children, cmd)
	err = cmd.Start()
	ordersOut.Close()
	reportsIn.Close()
	r.far = newLine[order, heard](in, out)
	r.link = newLine[linkOrder, linkReport](orders, reports)
	return err
}

// close ends the servers and removes the files.
func (r *rig) close() {
	for _, c := range r.children {
		if c.Process != nil {
			c.Process.Signal(syscall.SIGKILL)
			c.Wait()
		}
	}
	os.RemoveAll(r.dir)
}

// set prepares servers, names and control files for a case, and gives the host
// that takes the mail.
func (r *rig) set(c testCase) (*line[order, heard], error) {
	h, addr := r.near, "127.0.0.1:0"
	o := order{Do: "serve", Mode: c.mode}
	switch {
	case c.rtt > 0 && r.link != nil:
		h, addr = r.far, farEnd.Addr().String()+":25"
		if _, err := r.link.ask(linkOrder{c.rtt / 2}); err != nil {
			return nil, err
		}
	case r.private:
		addr, o.Late = nearServer.String()+":25", c.rtt
	default:
		o.Late = c.rtt
	}
	o.Addr = addr
	at, err := h.ask(o)
	if err != nil {
		return nil, err
	}
	digest, err := h.ask(order{Do: "digest"})
	if err != nil {
		return nil, err
	}
	server, err := netip.ParseAddrPort(at.Addr)
	if err != nil {
		return nil, err
	}
	return h, errors.Join(r.resolve(c, server, digest.Digest), r.controls(c, server))
}

// resolve publishes the server.
func (r *rig) resolve(c testCase, server netip.AddrPort, digest string) error {
	z := dnstest.Zone{}
	if c.DANE {
		z["!secure"] = []string{domain + "."}
	}
	for i := range r.o.mx {
		host := "mx" + strconv.Itoa(i) + "." + domain + "."
		z[domain+". MX"] = append(z[domain+". MX"], strconv.Itoa(10*min(i, 1))+" "+host)
		z[host+" A"] = []string{server.Addr().String()}
		if c.DANE {
			z["_"+strconv.Itoa(int(server.Port()))+"._tcp."+host+" TLSA"] = []string{"3 1 1 " + digest}
		}
	}
	o := order{Do: "resolve", Addr: "127.0.0.1:0", Zone: z}
	if r.private {
		o.Addr = "127.0.0.1:53"
	}
	if c.rtt > 0 {
		o.Delay = r.o.dns
	}
	at, err := r.near.ask(o)
	if err == nil && !r.private {
		err = os.Setenv("DNSCACHEIP", at.Addr)
	}
	return err
}

// controls writes the control files of a case.
func (r *rig) controls(c testCase, server netip.AddrPort) error {
	anchors := filepath.Join(r.dir, "anchors.pem")
	err := os.WriteFile(anchors, nil, 0o644) // never read but under strict policies
	trust, route := "", ""
	if c.TLS {
		trust = anchors + "\n"
	}
	if !r.private {
		route = fmt.Sprintf("%s:mx0.%s:%d\n", domain, domain, server.Port())
	}
	return errors.Join(err, r.write("control/trustanchors", trust), r.write("control/smtproutes", route))
}

// questions is how many answers of DNS a client must wait for, one after another.
func (r *rig) questions() int {
	if r.private {
		return 2
	}
	return 1
}

// environment is what the programs get.
func (r *rig) environment(p program) []string {
	env := []string{"PATH=/bin:/usr/bin"}
	if !p.other {
		env = append(env, "QMAILHOME="+r.home)
	}
	if !r.private {
		env = append(env, "DNSCACHEIP="+os.Getenv("DNSCACHEIP"))
	}
	env = append(env, p.settings...)
	return env
}

// patience is how long one delivery may take before the run is given up.
const patience = 2 * time.Minute
