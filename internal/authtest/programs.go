package authtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Main is the first line of a TestMain: where the binary runs under the name of
// one of the programs it is that one, and does not return.
func Main() {
	switch filepath.Base(os.Args[0]) {
	case "checkpassword":
		os.Exit(checkpassword())
	case "server":
		os.Exit(server())
	}
}

// Install puts the programs into a new directory, which every user may read, and
// returns it; it is to be named in PATH.
func Install() (dir string, err error) {
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "authtest"); err != nil {
		return "", err
	}
	program := filepath.Join(dir, "checkpassword")
	return dir, errors.Join(os.Chmod(dir, 0o755), os.WriteFile(program, self, 0o755), os.Link(program, filepath.Join(dir, "server")))
}

// Run is the rest of a TestMain: it installs the programs into a directory that
// *dir names while the tests run, adds what more does, if it is not nil, and exits.
func Run(m *testing.M, dir *string, more func(dir string) error) {
	var err error
	if *dir, err = Install(); err == nil && more != nil {
		err = more(*dir)
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(*dir)
	os.Exit(code)
}

// PasswordFile and SawFile are the environment's names of checkpassword's two
// files: lines of "name:password:uid:home", and what it was given, appended. An
// empty uid leaves the user as he is.
const (
	PasswordFile = "AUTHTEST_PASSWD"
	SawFile      = "AUTHTEST_SAW"
)

// account is a line of the password file.
type account struct{ name, password, uid, home string }

func accounts() []account {
	text, _ := os.ReadFile(os.Getenv(PasswordFile))
	var list []account
	for line := range strings.Lines(string(text)) {
		f := strings.Split(strings.TrimRight(line, "\n"), ":")
		if len(f) == 4 {
			list = append(list, account{f[0], f[1], f[2], f[3]})
		}
	}
	return list
}
