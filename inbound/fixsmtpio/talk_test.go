package fixsmtpio

import (
	"strings"
	"testing"

	"postrider/inbound"
)

// server is a scripted SMTP server: it answers each line it hears by its verb,
// and content by "." when that ends.
type server struct {
	says    map[string]string // by verb in upper case; "" for others; "|" is a line end
	heard   []string          // lines, without their ends
	line    string
	data    bool
	content content
}

func (s *server) reply(verb string) string {
	says, known := s.says[verb]
	if !known {
		says = "250 ok"
	}
	if says == "" {
		return ""
	}
	s.data = strings.HasPrefix(says, "354")
	s.content = newContent()
	return strings.ReplaceAll(says, "|", "\r\n") + "\r\n"
}

// hear takes bytes and gives what the server answers.
func (s *server) hear(p []byte) (out string) {
	for len(p) > 0 {
		if s.data {
			n, end := s.content.scan(p)
			s.line += string(p[:n])
			if p = p[n:]; end {
				s.heard = append(s.heard, s.line)
				s.line = ""
				out += s.reply(".")
			}
			continue
		}
		s.line += string(p[:1])
		if p = p[1:]; strings.HasSuffix(s.line, "\n") {
			line := strings.TrimRight(s.line, "\r\n")
			s.heard, s.line = append(s.heard, line), ""
			verb, _, _ := strings.Cut(strings.ToUpper(line), " ")
			out += s.reply(verb)
		}
	}
	return out
}

// talk has a client send input at once, and the server answer, both in pieces
// that cut says; a cut of 0 lets the other one have its turn.
func talk(d *dialogue, s *server, input string, cut func(most int) int) (client string) {
	pending := s.reply("GREETING")
	for idle := 0; idle < 100 && !d.over && !d.secure; idle++ {
		if n := min(cut(len(input)), len(input)); n > 0 {
			if used := d.fromClient([]byte(input[:n])); used > 0 {
				input, idle = input[used:], 0
			}
		}
		if n := cut(len(d.toServer)); n > 0 {
			pending += s.hear(d.toServer[:n])
			d.toServer, idle = d.toServer[n:], 0
		}
		if n := cut(len(pending)); n > 0 {
			d.fromServer([]byte(pending[:n]))
			pending, idle = pending[n:], 0
		}
		client += string(d.toClient)
		d.toClient = nil
	}
	return client + string(d.toClient)
}

func whole(most int) int { return most }

func single(most int) int {
	return min(most, 1)
}

func rules(t testing.TB, lines ...string) []Rule {
	t.Helper()
	rs, err := ParseRules(lines)
	if err != nil {
		t.Fatal(err)
	}
	return rs
}

type setting struct {
	rules  []string
	env    inbound.Env
	level  inbound.Level
	tls    bool // it protects the dialogue already
	helper bool
}

func (c setting) dialogue(t testing.TB, rs []Rule) *dialogue {
	t.Helper()
	if rs == nil {
		rs = rules(t, c.rules...)
	}
	_, authenticated := c.env.Lookup("AUTHUP_USER")
	offers := c.level != inbound.Unavailable && !c.tls && !authenticated
	return newDialogue(rewriter{rules: rs, greeting: "me.example", env: c.env, offers: offers}, c.level, c.tls, true)
}

const ehlo = "250-kid|250-PIPELINING|250 8BITMIME"

// lines makes "|" the end of a line.
func lines(s string) string {
	if s == "" {
		return ""
	}
	return strings.ReplaceAll(s, "|", "\r\n") + "\r\n"
}

// greeted gives a dialogue after the greeting.
func greeted(t *testing.T, c setting, rs []Rule) *dialogue {
	t.Helper()
	d := c.dialogue(t, rs)
	d.fromServer([]byte("220 kid\r\n"))
	d.toClient = nil
	return d
}
