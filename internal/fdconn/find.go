package fdconn

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Find searches path, the value of PATH, for prog as execvp(3) does: a prog with
// a slash is taken as it is, an empty entry is the current directory, and an
// empty path is /bin:/usr/bin. Where nothing is found the answer is the last place
// searched, and starting it says why; it is never prog itself, which would be
// looked for in the current directory.
func Find(prog, path string) string {
	if strings.Contains(prog, "/") {
		return prog
	}
	if path == "" {
		path = "/bin:/usr/bin"
	}
	last := ""
	for dir := range strings.SplitSeq(path, ":") {
		file := dir + "/" + prog
		if dir == "" {
			file = "./" + prog
		}
		var st unix.Stat_t
		if unix.Access(file, unix.X_OK) == nil && unix.Stat(file, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
			return file
		}
		last = file
	}
	return last
}
