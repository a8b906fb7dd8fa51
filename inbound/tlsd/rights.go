package tlsd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"postrider/inbound"
)

// nobody is whom the TLS process becomes when root has started it and has not
// said whom it shall become: Linux's overflow user, who owns nothing.
const nobody = 65534

// Rights is what becomes of the rights of the process.
type Rights struct {
	change   bool // to uid and gid
	uid, gid int
	chroot   string
}

// RightsOf reads SSL_UID, SSL_GID, SSL_CHROOT (ucspi-ssl), or TLS_UID, TLS_GID
// (s6-networking). euid and egid are who we are: only root can become somebody
// else, and must.
func RightsOf(env inbound.Env, euid, egid int) (Rights, error) {
	r := Rights{chroot: env.Get("SSL_CHROOT"), change: euid == 0}
	var err error
	if r.uid, err = number(env, "SSL_UID", "TLS_UID"); err != nil {
		return Rights{}, err
	}
	if r.gid, err = number(env, "SSL_GID", "TLS_GID"); err != nil {
		return Rights{}, err
	}
	if !r.change && (r.chroot != "" || r.uid >= 0 && r.uid != euid || r.gid >= 0 && r.gid != egid) {
		return Rights{}, &Error{Authority, errors.New("only root can obey SSL_UID, SSL_GID, TLS_UID, TLS_GID and SSL_CHROOT")}
	}
	if r.uid < 0 {
		r.uid = nobody
	}
	if r.gid < 0 {
		r.gid = nobody
	}
	return r, nil
}

// number is the value of the first of names that is set; -1 if none is. Root's
// is none to change to.
func number(env inbound.Env, names ...string) (int, error) {
	for _, name := range names {
		value, set := env.Lookup(name)
		if !set {
			continue
		}
		n, err := strconv.ParseUint(value, 10, 31)
		if err != nil || n == 0 {
			return 0, &Error{Authority, errors.New(name + "=" + value + " is no number of an unprivileged user or group")}
		}
		return int(n), nil
	}
	return -1, nil
}

// Drop gives up what r says. Whatever is left of the process's memory is not
// for others to look at, nor for a core file: there are keys in it.
func (r Rights) Drop() error {
	if err := r.drop(); err != nil {
		return &Error{Authority, err}
	}
	return nil
}

func (r Rights) drop() error {
	if r.chroot != "" {
		if err := syscall.Chroot(r.chroot); err != nil {
			return fmt.Errorf("chroot to SSL_CHROOT=%s: %w", r.chroot, err)
		}
		if err := syscall.Chdir("/"); err != nil {
			return fmt.Errorf("chdir into SSL_CHROOT=%s: %w", r.chroot, err)
		}
	}
	if r.change {
		if err := r.become(); err != nil {
			return err
		}
	}
	return os.NewSyscallError("prctl", unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0))
}

// become changes all ids of all threads, groups first, and tries whether there
// is a way back.
func (r Rights) become() error {
	if err := syscall.Setgroups([]int{r.gid}); err != nil {
		return fmt.Errorf("setgroups to %d: %w", r.gid, err)
	}
	if err := syscall.Setresgid(r.gid, r.gid, r.gid); err != nil {
		return fmt.Errorf("setgid to %d: %w", r.gid, err)
	}
	if err := syscall.Setresuid(r.uid, r.uid, r.uid); err != nil {
		return fmt.Errorf("setuid to %d: %w", r.uid, err)
	}
	if syscall.Setuid(0) == nil || syscall.Setgid(0) == nil {
		return errors.New("root's rights come back after they were given up")
	}
	return nil
}
