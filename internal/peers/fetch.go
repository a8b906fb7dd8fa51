package peers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// wanted are the packages the peers need, in sets that Debian lets stand together. The Cyrus SASL modules are
// what Postfix offers AUTH with.
func wanted() [][]string {
	return [][]string{
		{
			"postfix", "libsasl2-modules", "libsasl2-modules-db", "sasl2-bin", "unbound", "knot", "tinycdb", "ucspi-tcp",
			"daemontools", "s6", "systemd", "swaks", "libnet-ssleay-perl", "curl", "openssl",
		},
		{"exim4-daemon-heavy"},
	}
}

// store is the directory of unpacked packages.
//
//	tree/     what the packages contain
//	stamp     the packages and versions in tree, one a line
//	lists/    apt's lists, when the machine has none that serve
type store struct{ dir string }

// openStore returns the store of the repository that the working directory is in.
func openStore() (store, error) {
	dir, err := os.Getwd()
	if err != nil {
		return store{}, err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return store{filepath.Join(dir, ".peers")}, nil
		}
		if dir == filepath.Dir(dir) {
			return store{}, errors.New("no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
}

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

// fetch makes tree hold every wanted package, and every package they depend on, that this machine lacks.
// Programs doing this at the same time wait for each other.
func (s store) fetch() error {
	if s.current() {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", s.dir, err)
	}
	if s.current() {
		return nil
	}
	versions, err := s.bring(nil)
	if err != nil { // no lists, or lists older than the archive: fetch our own and try again
		own := []string{
			"-o", "Dir::State::Lists=" + s.path("lists"), "-o", "Dir::Cache=" + s.path("cache"),
			"-o", "APT::Sandbox::User=root",
		}
		if err := errors.Join(os.MkdirAll(s.path("lists/partial"), 0o755), os.MkdirAll(s.path("cache/archives/partial"), 0o755)); err != nil {
			return err
		}
		if _, uerr := run(s.dir, "apt-get", append(own, "-q", "update")...); uerr != nil {
			return errors.Join(err, uerr)
		}
		if versions, err = s.bring(own); err != nil {
			return err
		}
	}
	return os.WriteFile(s.path("stamp"), []byte(s.head()+strings.Join(versions, "\n")+"\n"), 0o644)
}

// head is the first line of the stamp: what was asked for.
func (s store) head() string {
	return strings.Join(slices.Concat(wanted()...), " ") + "\n"
}

// current tells whether tree was made for these packages and the machine's own have not changed since.
func (s store) current() bool {
	stamp, err := os.ReadFile(s.path("stamp"))
	if err != nil || !strings.HasPrefix(string(stamp), s.head()) {
		return false
	}
	made, err := os.Stat(s.path("stamp"))
	if err != nil {
		return false
	}
	machine, err := os.Stat("/var/lib/dpkg/status")
	return err == nil && machine.ModTime().Before(made.ModTime())
}

// bring downloads and unpacks into a new tree; options go to every apt-get.
func (s store) bring(options []string) ([]string, error) {
	versions, err := missing(options)
	if err != nil {
		return nil, err
	}
	fresh, debs := s.path("tree.new"), s.path("debs")
	// Without a stamp nobody believes the tree while it changes.
	if err := errors.Join(os.RemoveAll(s.path("stamp")), os.RemoveAll(fresh), os.RemoveAll(debs)); err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(filepath.Join(fresh, "usr"), 0o755), os.MkdirAll(filepath.Join(fresh, "etc"), 0o755), os.MkdirAll(debs, 0o755)); err != nil {
		return nil, err
	}
	if len(versions) > 0 {
		if _, err := run(debs, "apt-get", slices.Concat(options, []string{"-q", "download"}, versions)...); err != nil {
			return nil, err
		}
	}
	files, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if _, err := run(s.dir, "dpkg-deb", "-x", f, fresh); err != nil {
			return nil, err
		}
	}
	if err := merge(fresh); err != nil {
		return nil, err
	}
	if err := errors.Join(os.RemoveAll(s.path("tree")), os.RemoveAll(debs)); err != nil {
		return nil, err
	}
	return versions, os.Rename(fresh, s.path("tree"))
}

// missing asks apt what it would install, as name=version. It only simulates, and needs no privilege.
func missing(options []string) ([]string, error) {
	line := regexp.MustCompile(`(?m)^Inst (\S+) (?:\[\S+\] )?\((\S+)`)
	var all []string
	for _, set := range wanted() {
		args := slices.Concat(options, []string{"-o", "Debug::NoLocking=1", "install", "-s", "--no-install-recommends"}, set)
		out, err := run("/", "apt-get", args...)
		if err != nil {
			return nil, err
		}
		for _, m := range line.FindAllStringSubmatch(out, -1) {
			all = append(all, m[1]+"="+m[2])
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// merge moves /bin, /sbin and /lib of a tree below its /usr, where the links of a merged system point.
func merge(tree string) error {
	for _, name := range []string{"bin", "sbin", "lib"} {
		from := filepath.Join(tree, name)
		if _, err := os.Lstat(from); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		to := filepath.Join(tree, "usr", name)
		if err := os.MkdirAll(to, 0o755); err != nil {
			return err
		}
		if _, err := run(tree, "cp", "-a", from+"/.", to); err != nil {
			return err
		}
		if err := os.RemoveAll(from); err != nil {
			return err
		}
	}
	return nil
}

// run executes a command that must succeed and returns its standard output; the error carries what it said.
func run(dir, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(out.String()+said.String()))
	}
	return out.String(), nil
}
