package main

import (
	"strings"
	"syscall"
)

// find searches path for prog, as execvp(3) does, where prog has no slash.
func find(prog, path string) string {
	if strings.Contains(prog, "/") {
		return prog
	}
	if path == "" {
		path = "/bin:/usr/bin"
	}
	const executable = 1 // X_OK
	for dir := range strings.SplitSeq(path, ":") {
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
