package proctest

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// entry is where a program begins, before the Go runtime does: see the Makefile.
func entry(program string) string {
	switch program {
	case "qmail-remote", "qmail-remote-io", "ucspi-tlsd-io":
		return "postrider_start"
	case "ucspi-tlsc", "ucspi-tlsd", "qmail-smtpd", "qmail-ofmipd", "qmail-authup", "checknotroot", "fixsmtpio",
		"smtpd-starttls-proxy-io", "qmail-qfilter-addtlsheader":
		return "postrider_helper"
	}
	return ""
}

// Build builds programs of cmd/ into dir as the Makefile does.
func Build(dir string, programs ...string) error {
	for _, p := range programs {
		args := []string{"build", "-trimpath", "-o", dir + "/" + p}
		if entry(p) != "" && runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64") {
			args = append(args, "-ldflags", "-E "+entry(p))
		}
		cmd := exec.Command("go", append(args, "postrider/cmd/"+p)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", p, err, out)
		}
	}
	return nil
}

// Main is the whole of a TestMain: it builds programs into a directory that
// *bin names while the tests run, and exits.
func Main(m *testing.M, bin *string, programs ...string) {
	os.Exit(func() int {
		if idle() {
			return m.Run()
		}
		dir, err := os.MkdirTemp("", "bin")
		if err == nil {
			defer os.RemoveAll(dir)
			dir, err = filepath.EvalSymlinks(dir) // as /proc has it
		}
		if err == nil {
			err = Build(dir, programs...)
		}
		if err == nil { // programs that are made to crash leave nothing behind
			err = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		*bin = dir
		return m.Run()
	}())
}

// idle reports whether no test will run: tests are only listed, or fuzzed.
func idle() bool {
	flag.Parse()
	value := func(name string) string {
		if f := flag.Lookup("test." + name); f != nil {
			return f.Value.String()
		}
		return ""
	}
	return value("list") != "" || value("fuzzworker") == "true" || value("run") == "^$"
}
