package smtptest

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Script is what one server does, connection after connection.
type Script struct {
	Conns     [][]Step
	Refuse    bool // connections are refused
	Blackhole bool // connections are never answered
	Optional  bool // nobody need come
}

// Step is one line of a script.
type Step struct {
	verb string // "<", ">", ">~", ">data", ">bdat", ">bytes", "!tls", …
	text string // what is said; the pattern of >~; the arguments of !tls
	data []byte // the bytes of <+
	n    int    // of >bytes
	d    time.Duration
	line int // in its section, from 1; 0: not from a file
}

const nextConnection = "== next connection =="

// ParseScript parses the section of one server.
func ParseScript(text string) (Script, error) {
	s := Script{Conns: [][]Step{nil}}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		last := len(s.Conns) - 1
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == nextConnection:
			s.Conns = append(s.Conns, nil)
		case line == "!refuse" && last == 0:
			s.Refuse = true
		case line == "!blackhole":
			s.Blackhole = true
		case line == "!optional":
			s.Optional = true
		default:
			st, err := parseStep(line)
			if err != nil {
				return s, fmt.Errorf("line %d: %w", n, err)
			}
			st.line = n
			s.Conns[last] = append(s.Conns[last], st)
		}
	}
	if (s.Refuse || s.Blackhole) && len(s.Conns[0]) == 0 {
		s.Conns = nil
	}
	return s, nil
}

func parseStep(line string) (st Step, err error) {
	verb, arg, _ := strings.Cut(line, " ")
	st = Step{verb: verb, text: arg}
	switch verb {
	case "<", ">":
	case "<+", ">+":
		st.data, err = unquote(arg)
	case ">~":
		_, err = regexp.Compile(arg)
	case ">data", "!refuse", "!close", "!cut", "!halfclose", "!reset", "!stall", "!sink", "!deaf":
		if arg != "" {
			err = fmt.Errorf("%s takes nothing", verb)
		}
	case ">bdat":
		if arg != "" && arg != "some" {
			err = fmt.Errorf(">bdat %s?", arg)
		}
	case "!from":
		if arg != "" {
			_, err = netip.ParseAddr(arg)
		}
	case ">bytes":
		st.n, err = strconv.Atoi(arg)
	case "!wait", "!drip":
		st.d, err = time.ParseDuration(arg)
	case "!tls":
		_, err = parseTLS(arg)
	case "!scram":
		_, _, _, err = parseScram(arg)
	default:
		err = fmt.Errorf("no such step: %q", line)
	}
	return st, err
}

// ownTLS reports whether a script speaks of TLS by itself.
func (s Script) ownTLS() bool {
	for _, c := range s.Conns {
		for _, st := range c {
			if st.verb == "!tls" || strings.Contains(strings.ToUpper(st.text+string(st.data)), "STARTTLS") {
				return true
			}
		}
	}
	return false
}

// withTLS puts STARTTLS into the first good EHLO reply of each connection, and
// the handshake behind it (RFC 3207 §4); all says whether each one had such a
// reply, some whether any had.
func (s Script) withTLS(cert string) (out Script, all, some bool) {
	out, all = s, len(s.Conns) > 0
	out.Conns = nil
	for _, c := range s.Conns {
		secured, ok := secure(c, cert)
		all = all && ok
		some = some || ok
		out.Conns = append(out.Conns, secured)
	}
	return out, all, some
}

func secure(steps []Step, cert string) ([]Step, bool) {
	for i, st := range steps {
		if st.verb != ">" || !strings.HasPrefix(st.text, "EHLO ") {
			continue
		}
		end := i + 1
		for end < len(steps) && steps[end].verb == "<" && strings.HasPrefix(steps[end].text, "250-") {
			end++
		}
		if end == len(steps) || steps[end].verb != "<" || !strings.HasPrefix(steps[end].text, "250 ") {
			return steps, false
		}
		offer := append([]Step{}, steps[i:end+1]...)
		last := &offer[len(offer)-1]
		last.text = "250-" + last.text[len("250 "):]
		out := append([]Step{}, steps[:i]...)
		out = append(out, offer...)
		out = append(out, Step{verb: "<", text: "250 STARTTLS"}, Step{verb: ">", text: "STARTTLS"},
			Step{verb: "<", text: "220 go ahead"}, Step{verb: "!tls", text: cert})
		return append(out, steps[i:]...), true
	}
	return steps, false
}

// WithTLS is the same dialogue under STARTTLS, or nil where that is not meant or
// no server says EHLO. control/trustanchors, which asks for TLS, is added.
func (d *Dialogue) WithTLS() *Dialogue {
	if !d.Runs("tls") {
		return nil
	}
	t := *d
	t.Servers = map[string]Script{}
	any, secured := false, ""
	for addr, s := range d.Servers {
		if s.ownTLS() {
			return nil
		}
		script, all, some := s.withTLS("mx.example.net")
		any = any || some
		if all {
			host, _, _ := strings.Cut(strings.NewReplacer("[", "", "]:", " ").Replace(addr), " ")
			if host == addr {
				host, _, _ = strings.Cut(addr, ":")
			}
			secured += " " + host + " "
		}
		t.Servers[addr] = script
	}
	if !any {
		return nil
	}
	t.Files = map[string]string{}
	for name, text := range d.Files {
		t.Files[name] = text
	}
	if _, ok := t.Files["control/trustanchors"]; !ok {
		t.Files["control/trustanchors"] = "{home}/control/authority.pem\n"
		t.Files["control/authority.pem"] = AuthorityPEM()
	}
	t.Report = d.underTLS(secured)
	return &t
}

// underTLS is what the report reads when the addresses in secured are spoken to
// under TLS: a K says so, on a line of its own.
func (d *Dialogue) underTLS(secured string) []byte {
	if d.tls != nil {
		return d.tls
	}
	r := string(d.Report)
	at := strings.LastIndexByte(strings.TrimSuffix(r, "\x00"), 0) + 1
	host, ok := strings.CutPrefix(r[at:], "K")
	host, _, _ = strings.Cut(host, " ")
	if !ok || !strings.Contains(secured, " "+host+" ") {
		return d.Report
	}
	return []byte(strings.TrimSuffix(r, "\x00") + "TLS: TLSv1.3 TLS_AES_128_GCM_SHA256 verified=no\n\x00")
}
