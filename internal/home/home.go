// Package home knows where qmail lives, and nothing of what is there.
package home

import "os"

// Default is the home compiled in; make sets it with
// -ldflags "-X postrider/internal/home.Default=/path". Nothing else writes it.
var Default = "/var/qmail"

// Dir is the home of the qmail that we serve: the environment variable
// QMAILHOME, or Default when that is unset or empty.
func Dir() string {
	if dir := os.Getenv("QMAILHOME"); dir != "" {
		return dir
	}
	return Default
}
