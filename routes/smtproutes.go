package routes

import (
	"iter"
	"strings"

	"postrider/internal/ascii"
	"postrider/internal/constmap"
)

// bounces is the host under which smtproutes has the route of the empty sender.
const bounces = "!@"

// SMTP is control/smtproutes, read through its cdb. It holds no descriptor and
// no content, so each Lookup sees the file as it is then, and many may go on at
// the same time.
type SMTP struct {
	control, cdb, lock string
}

// OpenSMTP names the control file, the cdb that is compiled from it and the
// lock file for that. It touches none of them. All that can go wrong with the
// last two, in any Lookup, costs time and nothing else: the control file is the
// truth, and is read instead.
func OpenSMTP(controlFile, cdbFile, lockFile string) *SMTP {
	return &SMTP{control: controlFile, cdb: cdbFile, lock: lockFile}
}

// Lookup is the route for host, which may be a name or an address literal as it
// was written, "[192.0.2.1]"; case does not matter. The order is stock's: the
// whole host, then each rest of it that begins with a dot, longest first, then
// the empty key. The first that is there wins, even with an empty relay: then the
// result is Route{Relay: ""}, true, and means MX.
//
// The host "!@" is the route of the empty sender, and that key alone is asked.
//
// Port is 0 when the file says 25 or nothing. The error is a *fs.PathError: the
// control file is there and cannot be read.
func (s *SMTP) Lookup(host string) (Route, bool, error) {
	host = ascii.ToLower(host)
	src, err := openSource(s.control)
	if err != nil || src == nil {
		return Route{}, false, err
	}
	defer src.close()
	db, compile := s.fresh(src)
	if db != nil {
		r, ok, err := inCDB(db, host)
		db.Close()
		if err == nil {
			return r, ok, nil
		}
	}
	text, err := src.text()
	if err != nil {
		return Route{}, false, err
	}
	if compile {
		s.compile(text, src)
	}
	r, ok := inText(text, host)
	return r, ok, nil
}

// hostKeys is the keys that apply to host, in stock's order.
func hostKeys(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if host == bounces {
			yield(host)
			return
		}
		for key := range constmap.Suffixes(host, ".") {
			if !yield(key) {
				return
			}
		}
		if host != "" {
			yield("")
		}
	}
}

// inText looks host, in lower case, up in the text of the control file, in one
// pass: the longest key that applies wins, and of equal ones the last, as in
// stock. A bad line affects only itself: it is as if it were not there.
func inText(text, host string) (Route, bool) {
	best := -1 // length of the key that r belongs to
	var r Route
	for line := range lines(text) {
		key, value, ok := constmap.Cut(line)
		if !ok || len(key) < best || !applies(key, host) {
			continue
		}
		if next, ok := parseRoute(value, smtpPort); ok {
			best, r = len(key), next
		}
	}
	return r, best >= 0
}

// applies says whether hostKeys(host) has the key, which may have capitals.
func applies(key, host string) bool {
	off := len(host) - len(key)
	if off < 0 || off > 0 && host == bounces {
		return false
	}
	return (off == 0 || key == "" || key[0] == '.') && ascii.EqualFold(key, host[off:])
}

// lines yields the lines of a control file but for blank ones, comments and
// binary ones, without trailing blanks. Compat(qmail): a CR is none.
func lines(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.SplitSeq(text, "\n") {
			line = strings.TrimRight(line, " \t")
			if line == "" || line[0] == '#' || strings.IndexByte(line, 0) >= 0 {
				continue
			}
			if !yield(line) {
				return
			}
		}
	}
}
