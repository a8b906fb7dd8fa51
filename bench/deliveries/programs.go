package main

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// program is one that is measured.
type program struct {
	name, from string   // from: where it was found
	path       string   // of the copy that runs
	settings   []string // for its environment, besides the rig's
	other      bool     // not ours: clear only, and its home is compiled in
}

// find makes the programs' paths absolute and looks whether they can be run.
func (r *rig) find() error {
	if err := r.add("ours", r.o.unit); err != nil {
		return err
	}
	for _, s := range fields(r.o.also) {
		if err := r.add("ours", s); err != nil {
			return err
		}
	}
	for _, s := range fields(r.o.vs) {
		if err := r.add("vs", s); err != nil {
			return err
		}
		r.programs[len(r.programs)-1].other = true
	}
	return nil
}

func fields(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' })
}

// add takes one program, a path with settings for its environment before it.
func (r *rig) add(name, s string) error {
	words := strings.Fields(s)
	if len(words) == 0 {
		return errors.New("a program has no path")
	}
	path, err := exec.LookPath(words[len(words)-1])
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	settings := words[:len(words)-1]
	if n := len(r.programs); n > 0 {
		name += strconv.Itoa(n)
	}
	name = strings.Join(append([]string{name}, settings...), " ")
	r.programs = append(r.programs, program{name: name, from: path, settings: settings})
	return nil
}

// copyPrograms copies what is measured, and its helpers, when the programs that do
// nothing are built: what was just written runs up to a sixth quicker, on some
// machines, than the same bytes in a file that has lain in the page cache for minutes.
func (r *rig) copyPrograms() error {
	for i := range r.programs {
		p := &r.programs[i]
		dir := filepath.Join(r.dir, "program"+strconv.Itoa(i))
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
		p.path = filepath.Join(dir, filepath.Base(p.from))
		for _, name := range []string{filepath.Base(p.from), "qmail-remote-io", "ucspi-tlsc"} {
			bytes, err := os.ReadFile(filepath.Join(filepath.Dir(p.from), name))
			if errors.Is(err, fs.ErrNotExist) {
				continue // others have no helpers
			}
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), bytes, 0o755)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}
