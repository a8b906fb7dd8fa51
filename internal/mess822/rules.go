package mess822

import (
	"strings"

	"postrider/internal/ascii"
)

// Rules make the host of an address whole, each once and in order
// (rewriting(5) of mess822).
type Rules []rule

// rule is a line of control/rewrite: how it matches, what, and what it makes.
type rule struct {
	how       byte
	post, new string
}

// ParseRules reads lines of control/rewrite. The first byte says how what
// stands before the colon matches a host:
//
//	=post:new  is the host, which becomes new
//	*post:new  ends the host; new stands there instead
//	?post:new  the same, if no ".", "[" or "]" is left of it
//	-post:new  ends the host, all of which becomes new
//
// Other lines do nothing.
func ParseRules(lines []string) Rules {
	var rules Rules
	for _, line := range lines {
		post, new, ok := strings.Cut(line, ":")
		if ok && post != "" && strings.IndexByte("=*?-", post[0]) >= 0 {
			rules = append(rules, rule{how: post[0], post: post[1:], new: new})
		}
	}
	return rules
}

// DefaultRules are those where there is no control/rewrite: a dot at the end
// goes away, no host at all is defaulthost, one that ends with "+" goes on with
// plusdomain, one that has no dot with defaultdomain.
func DefaultRules(defaulthost, defaultdomain, plusdomain string) Rules {
	return Rules{
		{'*', ".", ""},
		{'=', "", defaulthost},
		{'*', "+", "." + plusdomain},
		{'?', "", "." + defaultdomain},
	}
}

// Host is what the rules make of a host.
func (rules Rules) Host(host string) string {
	for _, r := range rules {
		cut := len(host) - len(r.post)
		if cut < 0 || !ascii.EqualFold(host[cut:], r.post) {
			continue
		}
		switch rest := host[:cut]; r.how {
		case '=':
			if rest == "" {
				host = r.new
			}
		case '*':
			host = rest + r.new
		case '?':
			if !strings.ContainsAny(rest, ".[]") {
				host = rest + r.new
			}
		case '-':
			host = r.new
		}
	}
	return host
}

// Address is what the rules make of an address: its local part and "@" and the
// host, which is written before rewriting what follows the first "@". The empty
// address, which is also "@", stays so.
//
// Compat(qmail): the first, not the last: a@b@c is at b@c.
func (rules Rules) Address(addr string) string {
	local, host, _ := strings.Cut(addr, "@")
	if local == "" && host == "" {
		return ""
	}
	return local + "@" + rules.Host(host)
}
