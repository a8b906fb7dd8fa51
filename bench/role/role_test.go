package role

import (
	"bytes"
	"errors"
	"os"
	"testing"
)

func TestMain(m *testing.M) {
	status, played := Play("test", map[string]func() error{
		"tell": func() error {
			_, err := os.Stdout.WriteString("[" + os.Getenv(variable) + "]")
			return err
		},
		"fail": func() error { return errors.New("tired") },
	})
	if played {
		os.Exit(status)
	}
	os.Exit(m.Run())
}

func TestRoles(t *testing.T) {
	for role, want := range map[string]struct {
		out, errors string
		status      int
	}{
		"tell":  {"[]", "", 0},
		"fail":  {"", "test (fail): tired\n", 1},
		"other": {"", "test (other): no role \"other\"\n", 1},
	} {
		var out, errors bytes.Buffer
		cmd := Again(role, 0)
		cmd.Stdout, cmd.Stderr = &out, &errors
		cmd.Run()
		if out.String() != want.out || errors.String() != want.errors || cmd.ProcessState.ExitCode() != want.status {
			t.Errorf("%s: %q, %q, %v", role, out.String(), errors.String(), cmd.ProcessState)
		}
	}
}
