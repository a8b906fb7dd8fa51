package peers

import (
	"fmt"
	"os/exec"
	"strings"
)

// saslPassword stores a user's password in a SASL database (saslpasswd2(8)).
func saslPassword(db, realm, user, password string) error {
	cmd := exec.Command("saslpasswd2", "-p", "-c", "-f", db, "-u", realm, user)
	cmd.Stdin = strings.NewReader(password)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("saslpasswd2: %w: %s", err, out)
	}
	return nil
}
