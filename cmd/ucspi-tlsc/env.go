package main

import (
	"strings"
	"syscall"
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

// find searches path for prog, as execvp(3) does, where prog has no slash.
func find(prog, path string) string {
	if strings.Contains(prog, "/") {
		return prog
	}
	if path == "" {
		path = "/bin:/usr/bin"
	}
	const executable = 1 // X_OK
	for path != "" {
		var dir string
		dir, path, _ = strings.Cut(path, ":")
		file := dir + "/" + prog
		if dir == "" {
			file = "./" + prog // an empty entry is the current directory
		}
		var st syscall.Stat_t
		if syscall.Access(file, executable) == nil && syscall.Stat(file, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFREG {
			return file
		}
	}
	return prog
}
