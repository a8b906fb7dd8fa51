package main

import (
	"strings"
)

func lookup(env []string, name string) string {
	for _, e := range env {
		if n, v, ok := strings.Cut(e, "="); ok && n == name {
			return v
		}
	}
	return ""
}

// apply gives env with records set ("NAME=value") and unset ("NAME").
func apply(env, records []string) []string {
	out := make([]string, 0, len(env)+len(records))
	for _, e := range env {
		name, _, _ := strings.Cut(e, "=")
		if !names(records, name) {
			out = append(out, e)
		}
	}
	for _, r := range records {
		if strings.Contains(r, "=") {
			out = append(out, r)
		}
	}
	return out
}

func names(records []string, name string) bool {
	for _, r := range records {
		if n, _, _ := strings.Cut(r, "="); n == name {
			return true
		}
	}
	return false
}

// clean removes what concerned us and not the program, unless -Z, and in any
// case the descriptors of another helper, which are not those of this network.
func (c *client) clean(env []string) []string {
	gone := []string{"SSLCTLFD", "SSLREADFD", "SSLWRITEFD"}
	if !c.keepEnv {
		gone = append(gone, "CADIR", "CAFILE", "CERTFILE", "KEYFILE", "TLS_UID", "TLS_GID")
	}
	return apply(env, gone)
}
