package control

import "io/fs"

// Files reads the control files that a server names, one by one, by the rules of
// qmail-control(5). It keeps the first error, and every answer after that is
// empty; ask Err before using any.
type Files struct {
	r reader
}

// Read returns Files of fsys, which is rooted at the qmail home.
func Read(fsys fs.FS) *Files {
	return &Files{r: reader{fsys: fsys}}
}

// Err is the first error, an *Error, or nil.
func (f *Files) Err() error {
	return f.r.err
}

// Line is the first line of a file without trailing blanks, and whether there is
// a file. An empty file is there.
func (f *Files) Line(file string) (string, bool) {
	text, there := f.r.text(file)
	return first(text), there
}

// LineOrMe is Line(file), or that of control/me where there is no such file.
func (f *Files) LineOrMe(file string) (string, bool) {
	if line, there := f.Line(file); there {
		return line, true
	}
	return f.Line("control/me")
}

// Number is the leading decimal digits of a one-line file; def where there is no
// file, or no digit. It is never above 2147483647.
func (f *Files) Number(file string, def int) int {
	line := f.r.name(file)
	n, digits := 0, false
	for _, c := range []byte(line) {
		if c < '0' || c > '9' {
			break
		}
		n, digits = min(n*10+int(c-'0'), 1<<31-1), true
	}
	if !digits {
		return def
	}
	return n
}

// List is the lines of a file without blank ones and comments, and whether there
// is a file.
func (f *Files) List(file string) ([]string, bool) {
	text, there := f.r.text(file)
	return lines(text), there
}
