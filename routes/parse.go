package routes

import (
	"net/netip"
	"strings"
)

// parseRoute reads what stands after the key of a line of smtproutes,
// authsenders or qmtproutes; def is the port that goes without saying:
//
//	relay[:port][|user|password]    or ";" instead of ":"
//
// The relay is a name, an IPv4 address, or an address of either family in
// brackets, "IPv6:" before it or not (RFC 5321 §4.1.3); an IPv6 address without
// brackets may have its port after ";" only. It may be empty. The password is
// all of the rest. ok is false for a line that is none of this.
func parseRoute(value string, def uint16) (r Route, ok bool) {
	if strings.IndexByte(value, 0) >= 0 {
		return Route{}, false
	}
	hop, auth, _ := strings.Cut(value, "|")
	relay, port, hasPort, ok := cutPort(hop)
	if !ok {
		return Route{}, false
	}
	if hasPort {
		if r.Port, ok = parsePort(port); !ok {
			return Route{}, false
		}
		if r.Port == def {
			r.Port = 0
		}
	}
	if r.Relay, ok = parseRelay(relay); !ok {
		return Route{}, false
	}
	var password string
	r.User, password, _ = strings.Cut(auth, "|")
	if r.User != "" {
		r.Password, r.Clear = strings.CutPrefix(password, "!")
	}
	return r, true
}

// cutPort divides a hop into relay and port.
func cutPort(hop string) (relay, port string, hasPort, ok bool) {
	hop = strings.Trim(hop, " \t")
	if strings.HasPrefix(hop, "[") {
		relay, rest, closed := strings.Cut(hop, "]")
		if !closed || rest != "" && rest[0] != ':' && rest[0] != ';' {
			return "", "", false, false
		}
		if rest == "" {
			return relay + "]", "", false, true
		}
		return relay + "]", rest[1:], true, true
	}
	if relay, port, ok := strings.Cut(hop, ";"); ok {
		return relay, port, true, true
	}
	if strings.Count(hop, ":") > 1 { // must be an IPv6 address
		return hop, "", false, true
	}
	relay, port, hasPort = strings.Cut(hop, ":")
	return relay, port, hasPort, true
}

// parsePort reads the leading digits of a port. Compat(qmail): what follows them
// is passed over, and a smarthost must not be lost for it; nothing at all is 0,
// which is as good as not being there.
func parsePort(s string) (uint16, bool) {
	s = strings.Trim(s, " \t")
	n := 0
	for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		n = n*10 + int(s[i]-'0')
		if n > 65535 {
			return 0, false
		}
	}
	return uint16(n), n > 0 || s == ""
}

// parseRelay checks a relay and takes the brackets away.
func parseRelay(s string) (string, bool) {
	s = strings.Trim(s, " \t")
	if literal, ok := strings.CutPrefix(s, "["); ok {
		literal = strings.TrimSuffix(literal, "]")
		if len(literal) > 5 && strings.EqualFold(literal[:5], "IPv6:") {
			literal = literal[5:]
		}
		return parseAddr(literal)
	}
	if strings.IndexByte(s, ':') >= 0 {
		return parseAddr(s)
	}
	return strings.TrimSuffix(s, "."), plain(s)
}

// parseAddr checks an address. netip would have any bytes for a zone.
func parseAddr(s string) (string, bool) {
	addr, err := netip.ParseAddr(s)
	return addr.Unmap().String(), err == nil && plain(addr.Zone())
}

// plain reports whether s has nothing in it that no name of a host or of an
// interface has.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f || strings.IndexByte("[]|/@", s[i]) >= 0 {
			return false
		}
	}
	return true
}
