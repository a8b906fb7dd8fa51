package tlspolicy

import (
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

const destinationsFile = "control/tlsdestinations"

// maxDepth is more than any chain that is ever verified.
const maxDepth = 100

// parseDestinations reads lines of the form
//
//	key:anchors|ciphers|depth;port|senderdomain
//
// where every field after the key may be empty or left out.
func (r *Rules) parseDestinations(lines []string) {
	r.destinations = make(map[string][]demand, len(lines))
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, value := splitKey(line)
		k, mode, err := destinationKey(key)
		if err != nil {
			r.complain(destinationsFile, key, err)
			continue
		}
		a := demand{mode: mode, source: destinationsFile + ": " + strconv.QuoteToASCII(key)}
		if err := a.parse(k, value, r.abs); err != nil {
			a.err = errors.New(a.source + ": " + err.Error())
			r.complaints = append(r.complaints, a.err.Error())
		}
		r.destinations[k] = append(r.destinations[k], a)
	}
}

// complain remembers a line that was left out. It is named by its key only: the
// rest may be a password.
func (r *Rules) complain(file, key string, err error) {
	r.complaints = append(r.complaints, file+": "+strconv.QuoteToASCII(key)+": "+err.Error())
}

// splitKey cuts a line at its first colon, or the first one after "]" when the
// key is an address in brackets.
func splitKey(line string) (key, value string) {
	from := 0
	if i := strings.IndexByte(line, '['); i == 0 || i == 1 {
		from = max(0, strings.IndexByte(line, ']'))
	}
	if i := strings.IndexByte(line[from:], ':'); i >= 0 {
		return line[:from+i], line[from+i+1:]
	}
	return line, ""
}

// destinationKey is a key in the form that lookup asks for, and its mode. A
// lone sigil is the one for everybody: "" is "+*", "~" is "~*", "=" is "=*".
func destinationKey(key string) (string, Mode, error) {
	switch key {
	case "", "+*":
		return "+*", Verify, nil
	case "~", "~*":
		return "~*", Verify, nil
	case "=", "=*":
		return "=*", Verify, nil
	case "!", "!*":
		return "!*", None, nil
	case "-*":
		return key, Encrypt, nil
	case "*", "-":
		return key, Opportunistic, nil
	}
	sigil, name, mode := "", key, Verify
	switch key[0] {
	case '!', '%', '=', '~', '-':
		sigil, name = key[:1], key[1:]
		mode = sigilMode(key[0])
	}
	name = canonicalName(name)
	if !isAddress(name) && !isHostName(strings.TrimPrefix(name, ".")) {
		return "", None, errors.New("not the name of a destination")
	}
	return sigil + name, mode, nil
}

func sigilMode(sigil byte) Mode {
	switch sigil {
	case '!':
		return None
	case '%':
		return Fingerprint
	case '-':
		return Encrypt
	}
	return Verify
}

// parse fills a demand from what follows the key.
func (a *demand) parse(key, value string, abs func(string) string) error {
	before, after, hasPort := strings.Cut(value, ";")
	fields := strings.Split(before, "|")
	if hasPort {
		port, sender, _ := strings.Cut(after, "|")
		if err := a.parsePort(port); err != nil {
			return err
		}
		a.sender = strings.ToLower(sender)
	} else if len(fields) == 4 {
		a.sender, fields = strings.ToLower(fields[3]), fields[:3]
	}
	if len(fields) > 3 {
		return errors.New("too many fields")
	}
	fields = append(fields, "", "")
	a.ciphers = fields[1]
	if fields[2] != "" {
		n, err := strconv.ParseUint(fields[2], 10, 8)
		if err != nil || n > maxDepth {
			return errors.New("depth is not a number up to " + strconv.Itoa(maxDepth))
		}
		a.depth = int(n)
	}
	return a.believe(key, fields[0], abs)
}

// parsePort reads "465", or "s1465" for TLS from the first byte at that port.
func (a *demand) parsePort(s string) error {
	if s == "" {
		return nil
	}
	digits := strings.TrimPrefix(s, "s")
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || n == 0 {
		return errors.New("port is not a number from 1 to 65535")
	}
	a.port, a.implicit = uint16(n), digits != s
	return nil
}

// believe reads the anchors field, whose meaning depends on the key's sigil.
func (a *demand) believe(key, anchors string, abs func(string) string) error {
	digest, isDigest := strings.CutPrefix(anchors, "=")
	switch a.mode {
	case None:
		a.final = true
		return nil
	case Fingerprint:
		if !isDigest {
			return errors.New(`no fingerprint, "=" and hexadecimal digits`)
		}
		var err error
		a.final = true
		a.digest, err = parseDigest(digest)
		return err
	}
	if isDigest {
		return errors.New(`a fingerprint needs a key with "%"`)
	}
	if a.mode == Verify {
		a.anchors, a.final = abs(anchors), anchors != ""
		a.wildcards = key[0] == '~'
		a.chainOnly = key[0] != '~' && key[0] != '='
	}
	return nil
}

// parseDigest reads hexadecimal digits; colons between them are how other
// programs print fingerprints.
func parseDigest(s string) ([]byte, error) {
	d, err := hex.DecodeString(strings.ReplaceAll(s, ":", ""))
	if err != nil {
		return nil, errors.New("fingerprint is not hexadecimal")
	}
	switch len(d) {
	case 20, 28, 32, 64:
		return d, nil
	}
	return nil, errors.New("fingerprint has not the length of SHA-1, 224, 256 or 512")
}

// lookup finds the line for a destination, in the order that s/qmail has it;
// specific is false for lines about everybody. Compat(s/qmail).
func (r *Rules) lookup(d Destination) (rule *demand, specific bool) {
	if len(r.destinations) == 0 {
		return nil, false
	}
	name, sender := d.nextHop(), senderDomain(d.Sender)
	find := func(key string) bool {
		rule = r.find(key, sender)
		return rule != nil
	}
	under := func(sigil string) bool {
		return suffixes(name, func(suffix string) bool { return find(sigil + suffix) })
	}
	if name != "" && (under("!") || find("%"+name) || find("="+name) || under("~") || under("") || under("-")) {
		return rule, true
	}
	for _, key := range [...]string{"!*", "=*", "~*", "+*", "-*", "*", "-"} {
		if find(key) {
			return rule, false
		}
	}
	return nil, false
}

// find is the last line with a key, one for just this sender's domain first.
func (r *Rules) find(key, sender string) *demand {
	lines := r.destinations[key]
	var general *demand
	for i := len(lines) - 1; i >= 0; i-- {
		switch a := &lines[i]; {
		case a.sender != "" && a.sender == sender:
			return a
		case a.sender == "" && general == nil:
			general = a
		}
	}
	return general
}
