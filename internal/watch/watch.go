package watch

import (
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Set is the files that are watched. It is for concurrent use.
type Set struct {
	paths []string
	dirs  []string      // of paths, and those of paths that are directories
	every time.Duration // all are looked at at least that often

	mu     sync.Mutex // guards what follows
	notes  *notes     // nil: there are none to be had
	age    uint64
	seen   []stamp // of paths
	homes  []stamp // of dirs
	links  []int   // paths that notes do not tell all of: symbolic links, mostly
	looked time.Time
}

// stamp tells one state of a file from another.
type stamp struct {
	err          syscall.Errno // why there is no more to tell
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
	mode         uint32
}

// New watches paths, which need not exist, until Close. Of one that is a
// directory, a change is that of its list of names.
func New(paths ...string) *Set {
	s := &Set{paths: paths, every: time.Second}
	for _, p := range paths {
		if dir := filepath.Dir(p); !slices.Contains(s.dirs, dir) {
			s.dirs = append(s.dirs, dir)
		}
	}
	s.homes = make([]stamp, len(s.dirs))
	s.notes = newNotes()
	s.look()
	return s
}

// Age is a number that is another when a file has changed since it was asked
// for last.
func (s *Set) Age() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.notes == nil || time.Since(s.looked) >= s.every || s.moved():
		s.look()
	case s.notes.any(s.concerns):
		s.age++
		s.look()
	}
	return s.age
}

// Close ends the watch; what Age says afterwards is looked up each time.
func (s *Set) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes.close()
	s.notes = nil
}

// concerns says whether the name in a directory, by its place in dirs, is that
// of a file of ours.
func (s *Set) concerns(dir int, name string) bool {
	if dir >= len(s.dirs) {
		return true // a path that is a directory: all names in it are
	}
	for _, p := range s.paths {
		if filepath.Base(p) == name && filepath.Dir(p) == s.dirs[dir] {
			return true
		}
	}
	return false
}

// moved looks at what leaves no notes.
func (s *Set) moved() bool {
	for i, dir := range s.dirs {
		if now := stampOf(dir); now.dev != s.homes[i].dev || now.ino != s.homes[i].ino || now.err != s.homes[i].err {
			return true
		}
	}
	for _, i := range s.links {
		if stampOf(s.paths[i]) != s.seen[i] {
			return true
		}
	}
	return false
}

// look looks at everything. Notes are asked for first, so that nothing goes
// unnoticed between the two.
func (s *Set) look() {
	s.looked = time.Now()
	s.arm()
	now := make([]stamp, len(s.paths))
	for i, p := range s.paths {
		now[i] = stampOf(p)
	}
	if !slices.Equal(now, s.seen) {
		s.age++
		s.seen = now
	}
}

// arm has notes taken of all directories, anew where one is another than it was.
func (s *Set) arm() {
	if s.notes == nil {
		return
	}
	s.notes.drain()
	for i, dir := range s.dirs {
		s.homes[i] = stampOf(dir)
		if !s.notes.watch(i, dir) && s.homes[i].err != syscall.ENOENT {
			s.notes.close()
			s.notes = nil
			return
		}
	}
	s.links = s.links[:0]
	for i, p := range s.paths {
		var st syscall.Stat_t
		if syscall.Lstat(p, &st) != nil {
			continue
		}
		switch st.Mode & syscall.S_IFMT {
		case syscall.S_IFLNK:
			s.links = append(s.links, i)
			s.notes.watch(len(s.dirs)+i, p) // of the directory, if it leads to one
		case syscall.S_IFDIR:
			if !s.notes.watch(len(s.dirs)+i, p) {
				s.links = append(s.links, i)
			}
		}
	}
}

func stampOf(path string) stamp {
	var st syscall.Stat_t
	err := syscall.EINTR
	for err == syscall.EINTR {
		e := syscall.Stat(path, &st)
		err, _ = e.(syscall.Errno)
	}
	if err != 0 {
		return stamp{err: err}
	}
	return stamp{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim, mode: st.Mode}
}
