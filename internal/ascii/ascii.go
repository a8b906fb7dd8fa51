package ascii

// Lower is c, or its lower case when c is one of A to Z.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// Upper is c, or its upper case when c is one of a to z.
func Upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// ToLower is s with Lower of each byte: s itself where that changes nothing.
func ToLower(s string) string {
	for i := range len(s) {
		if s[i] != Lower(s[i]) {
			b := []byte(s)
			for j := i; j < len(b); j++ {
				b[j] = Lower(b[j])
			}
			return string(b)
		}
	}
	return s
}

// EqualFold is whether s and t are the same but for the case of ASCII letters.
func EqualFold(s, t string) bool {
	if len(s) != len(t) {
		return false
	}
	for i := range len(s) {
		if Lower(s[i]) != Lower(t[i]) {
			return false
		}
	}
	return true
}
