package resolver

import "strings"

// askable is name as it is asked for: lower case, no final dot. It reports false
// for a name that no host can have: empty, a label of 0 or over 63 bytes, over
// 253 in all (RFC 1035 §2.3.4), or an odd byte.
func askable(name string) (string, bool) {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return "", false
	}
	label := 0
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case odd(c):
			return "", false
		}
		if label++; label > 63 {
			return "", false
		}
	}
	return strings.ToLower(name), label > 0
}

// odd says that c, in a label, makes a name that is no host's: so it is for a
// dot, too, which only a message can have there.
func odd(c byte) bool {
	return c <= ' ' || c > '~' || strings.IndexByte(`.\"'@;()`, c) >= 0
}

// hostName reports whether name, lower case and without a final dot, can be a
// host's: letters, digits, '-', '.' (RFC 1123 §2.1). Field: and '_', which
// working exchangers have. Such a name may become an argument or a file name.
func hostName(name string) bool {
	for i := 0; i < len(name); i++ {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != '_' {
			return false
		}
	}
	return name != ""
}
