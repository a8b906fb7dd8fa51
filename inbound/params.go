package inbound

import "strings"

// MaxAddress is the longest address, in bytes, that is taken from a client.
// Compat(qmail): the same limit; qmail-queue's own is 1002.
const MaxAddress = 899

// MailParam judges one parameter of MAIL, and reports whether it is SMTPUTF8,
// which is good where utf8 says that it was announced (RFC 6531 §3.4).
// Compat(qmail): what we do not know is ignored, but for what asks for something
// that only an extension gives which we do not announce (RFC 5321 §4.1.1.11): that
// is BadSyntax.
func MailParam(param string, utf8 bool) (wantsUTF8 bool, err error) {
	keyword, value, _ := strings.Cut(param, "=")
	switch strings.ToLower(keyword) {
	case "smtputf8":
		if !utf8 {
			return false, BadSyntax
		}
		return true, nil
	case "body": // RFC 3030 §3: what cannot go through DATA
		if strings.ToLower(value) == "binarymime" {
			return false, BadSyntax
		}
	case "ret", "envid": // RFC 3461 §4
		return false, BadSyntax
	}
	return false, nil
}
