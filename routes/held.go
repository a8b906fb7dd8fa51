package routes

import (
	"postrider/internal/ascii"
	"postrider/internal/constmap"
)

// maxHeld is the longest smtproutes that is held in memory, in bytes.
const maxHeld = 1 << 20

// Held is smtproutes as it was at one moment, for a process that is told when it
// changes. It is for concurrent use.
type Held struct {
	routes map[string]Route // by key in lower case
	err    error            // why there are none
	large  *SMTP            // instead: too large to be held
}

// Hold reads the control file. What Lookup says until it changes, the Held says,
// errors included, without touching a file.
func (s *SMTP) Hold() *Held {
	src, err := openSource(s.control)
	if err != nil || src == nil {
		return &Held{err: err}
	}
	defer src.close()
	if src.size > maxHeld {
		return &Held{large: s}
	}
	text, err := src.text()
	if err != nil {
		return &Held{err: err}
	}
	return &Held{routes: table(text)}
}

// table is the good lines of a text.
func table(text string) map[string]Route {
	routes := map[string]Route{}
	for line := range lines(text) {
		key, value, ok := constmap.Cut(line)
		if !ok {
			continue
		}
		if r, ok := parseRoute(value, smtpPort); ok {
			routes[ascii.ToLower(key)] = r // of equal keys the last counts
		}
	}
	return routes
}

// Lookup is as SMTP's.
func (h *Held) Lookup(host string) (Route, bool, error) {
	if h.large != nil {
		return h.large.Lookup(host)
	}
	for key := range hostKeys(ascii.ToLower(host)) {
		if r, ok := h.routes[key]; ok {
			return r, true, nil
		}
	}
	return Route{}, false, h.err
}
