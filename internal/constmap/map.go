package constmap

import (
	"iter"
	"strings"

	"postrider/internal/ascii"
)

// Map finds values by keys that are compared without regard to ASCII case. The
// zero Map is empty and ready.
type Map[V any] struct {
	m map[string]V
}

// Set gives key its value; of several, the last stays. Compat(qmail): so it is
// in a control file with the same key on two lines.
func (m *Map[V]) Set(key string, value V) {
	if m.m == nil {
		m.m = make(map[string]V)
	}
	m.m[ascii.ToLower(key)] = value
}

// Lookup is the value of key, and whether it has one.
func (m *Map[V]) Lookup(key string) (V, bool) {
	value, ok := m.m[ascii.ToLower(key)]
	return value, ok
}

// Suffixes yields name, and then, longest first, every proper suffix of it that
// begins with one of the bytes in starts.
func Suffixes(name, starts string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(name) {
			return
		}
		for i := 1; i < len(name); i++ {
			if strings.IndexByte(starts, name[i]) >= 0 && !yield(name[i:]) {
				return
			}
		}
	}
}

// Cut divides the line "key:value" at its first colon; one in an address
// literal that begins the line, as in "[2001:db8::1]:value", is not the first.
func Cut(line string) (key, value string, ok bool) {
	if strings.HasPrefix(line, "[") {
		if i := strings.Index(line, "]:"); i >= 0 {
			return line[:i+1], line[i+2:], true
		}
	}
	return strings.Cut(line, ":")
}
