package watch

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// place is a directory with files in it.
type place struct {
	*testing.T
	dir string
}

func (p place) path(name string) string { return filepath.Join(p.dir, name) }

func (p place) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(err)
	}
}

func (p place) write(name, text string) {
	p.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), 0o644))
}

// overwrite writes without changing the length, and puts the times back.
func (p place) overwrite(name, text string) {
	p.Helper()
	s, err := os.Stat(p.path(name))
	p.must(err)
	f, err := os.OpenFile(p.path(name), os.O_WRONLY, 0)
	p.must(err)
	defer f.Close()
	_, err = f.WriteString(text)
	p.must(err)
	p.must(os.Chtimes(p.path(name), s.ModTime(), s.ModTime()))
}

// changes are what must be seen at the next question, each on a directory with
// the file a, the link l to b elsewhere, and the directory d with the file x.
var changes = []struct {
	name   string
	change func(place)
}{
	{"written anew", func(p place) { p.write("ctl/a", "other") }},
	{"overwritten, times as before", func(p place) { p.overwrite("ctl/a", "two") }},
	{"appears", func(p place) { p.write("ctl/new", "x") }},
	{"removed", func(p place) { p.must(os.Remove(p.path("ctl/a"))) }},
	{"replaced by rename", func(p place) {
		p.write("ctl/a.tmp", "two")
		p.must(os.Rename(p.path("ctl/a.tmp"), p.path("ctl/a")))
	}},
	{"made unreadable", func(p place) { p.must(os.Chmod(p.path("ctl/a"), 0)) }},
	{"behind a link, another length", func(p place) { p.write("elsewhere/b", "another length") }},
	{"the link points elsewhere", func(p place) {
		p.must(os.Remove(p.path("ctl/l")))
		p.must(os.Symlink("a", p.path("ctl/l")))
	}},
	{"the directory is another", func(p place) {
		p.must(os.Rename(p.path("ctl"), p.path("was")))
		p.must(os.Mkdir(p.path("ctl"), 0o755))
	}},
	{"the directory's link points elsewhere", func(p place) {
		p.must(os.Mkdir(p.path("next"), 0o755))
		p.must(os.Remove(p.path("way")))
		p.must(os.Symlink("next", p.path("way")))
	}},
	{"a name comes into a watched directory", func(p place) { p.write("ctl/d/y", "") }},
	{"a name comes into a directory behind a link", func(p place) { p.write("target/y", "") }},
	{"a name leaves a watched directory", func(p place) { p.must(os.Remove(p.path("ctl/d/x"))) }},
}

func newPlace(t *testing.T) (place, []string) {
	p := place{t, t.TempDir()}
	for _, d := range []string{"ctl/d", "elsewhere", "target"} {
		p.must(os.MkdirAll(p.path(d), 0o755))
	}
	p.write("ctl/a", "one")
	p.write("ctl/d/x", "")
	p.write("elsewhere/b", "b")
	p.write("target/c", "c")
	p.must(os.Symlink("../elsewhere/b", p.path("ctl/l")))
	p.must(os.Symlink("target", p.path("way")))
	p.must(os.Symlink("../target", p.path("ctl/dl")))
	return p, []string{p.path("ctl/dl"), p.path("ctl/a"), p.path("ctl/new"), p.path("ctl/l"), p.path("ctl/d"), p.path("way/c"), p.path("nowhere/at/all")}
}

func TestChanges(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			p, paths := newPlace(t)
			s := New(paths...)
			defer s.Close()
			s.every = time.Hour // so that only what is noticed at once is
			before := s.Age()
			if s.Age() != before {
				t.Error("changed without a change")
			}
			c.change(p)
			after := s.Age()
			if after == before {
				t.Error("the change was not seen")
			}
			if s.Age() != after {
				t.Error("changed twice by one change")
			}
		})
	}
}

// TestOthersFiles: what happens beside the files is no change.
func TestOthersFiles(t *testing.T) {
	p, paths := newPlace(t)
	s := New(paths...)
	defer s.Close()
	before := s.Age()
	for range 100 {
		p.write("ctl/another", "text")
		p.must(os.Remove(p.path("ctl/another")))
		_, err := os.ReadFile(p.path("ctl/a"))
		p.must(err)
	}
	if s.Age() != before {
		t.Error("changed by somebody else's files")
	}
}

// TestOtherName: a change by way of another hard link leaves no note, and is
// seen when all is looked at.
func TestOtherName(t *testing.T) {
	p, paths := newPlace(t)
	p.must(os.Link(p.path("ctl/a"), p.path("elsewhere/a")))
	s := New(paths...)
	defer s.Close()
	before := s.Age()
	p.write("elsewhere/a", "another length")
	s.every = 0
	if s.Age() == before {
		t.Error("the change was not seen")
	}
}

// TestWithoutNotes: the same changes where the kernel takes no notes.
func TestWithoutNotes(t *testing.T) {
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			p, paths := newPlace(t)
			s := New(paths...)
			s.Close()
			before := s.Age()
			c.change(p)
			after := s.Age()
			if after == before || s.Age() != after {
				t.Errorf("ages %d, %d, %d", before, after, s.Age())
			}
		})
	}
}

// TestFlood: more changes than the kernel keeps notes of.
func TestFlood(t *testing.T) {
	p, paths := newPlace(t)
	s := New(paths...)
	defer s.Close()
	s.every = time.Hour
	before := s.Age()
	for i := range 20000 {
		p.must(os.Chmod(p.path("ctl/a"), os.FileMode(0o600+i%2)))
		p.must(os.Chmod(p.path("ctl/d/x"), os.FileMode(0o600+i%2)))
	}
	after := s.Age()
	if after == before || s.Age() != after {
		t.Errorf("ages %d, %d, %d", before, after, s.Age())
	}
}
