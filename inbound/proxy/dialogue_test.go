package proxy

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// server answers lines by their verbs; without an entry, "250 ok". "|" is a line
// end.
type server struct {
	says  map[string]string
	heard string
	line  string
}

func (s *server) reply(verb string) string {
	says, known := s.says[verb]
	if !known {
		says = "250 ok"
	}
	return lines(says)
}

func (s *server) hear(p []byte) (out string) {
	s.heard += string(p)
	for _, c := range string(p) {
		if s.line += string(c); c == '\n' {
			verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimRight(s.line, "\r\n")), " ")
			out, s.line = out+s.reply(verb), ""
		}
	}
	return out
}

func lines(s string) string {
	if s == "" {
		return ""
	}
	return strings.ReplaceAll(s, "|", "\r\n") + "\r\n"
}

// talk has a client send input and the server answer, in pieces that cut says.
// It ends with the input, or when TLS is due.
func talk(d *dialogue, s *server, input string, cut func(most int) int) (client string) {
	pending := s.reply("GREETING")
	for idle := 0; idle < 100 && d.exit == 0 && !d.secure; idle++ {
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
	return client
}

func whole(most int) int  { return most }
func single(most int) int { return min(most, 1) }

const ehlo = "250-mx|250-PIPELINING|250 8BITMIME"

// TestDialogue: what server and client hear, by reason; the greeting is left out.
func TestDialogue(t *testing.T) {
	for reason, c := range map[string]struct {
		required bool
		says     map[string]string
		input    string
		server   string
		client   string
		copying  bool
		secure   bool
		exit     int
	}{
		"EHLO":                      {says: map[string]string{"EHLO": ehlo}, input: "ehlo x", server: "ehlo x", client: "250-mx|250-PIPELINING|250-STARTTLS|250 8BITMIME"},
		"EHLO of one line":          {says: map[string]string{"EHLO": "250 mx"}, input: "EHLO x", server: "EHLO x", client: "250-mx|250 STARTTLS"},
		"EHLO refused":              {says: map[string]string{"EHLO": "502-no|502 never"}, input: "EHLO x", server: "EHLO x", client: "502-no|502 never"},
		"EHLO of who has it":        {says: map[string]string{"EHLO": "250-mx|250-starttls|250 X"}, input: "EHLO x|EHLO y", server: "EHLO x|EHLO y", client: "250-mx|250-starttls|250 X|250-mx|250-starttls|250 X"},
		"EHLO of who has it last":   {says: map[string]string{"EHLO": "250-mx|250 STARTTLS"}, input: "EHLO", server: "EHLO", client: "250-mx|250 STARTTLS"},
		"a host called STARTTLS":    {says: map[string]string{"EHLO": "250-STARTTLS|250 X"}, input: "EHLO", server: "EHLO", client: "250-STARTTLS|250-STARTTLS|250 X"},
		"forwarded":                 {says: map[string]string{"HELP": "214-a|214 b", "VRFY": "252 x", "EXPN": "502-a|502-b|502 c", "QUIT": "221-a|221 b"}, input: "HELP|EXPN x|VRFY y|rset|QUIT|HELP", server: "HELP|EXPN x|VRFY y|rset|QUIT|HELP", client: "214-a|214 b|502-a|502-b|502 c|252 x|250 ok|221-a|221 b|214-a|214 b"},
		"answered here":             {input: "NOOP|noop x|DATA|RCPT TO:<a>|AUTH PLAIN|BDAT 5|EHLOX|| EHLO|EHLO\tx", client: "250 OK|250 OK|503 MAIL first (#5.5.1)|503 MAIL first (#5.5.1)" + strings.Repeat("|500 unimplemented (#5.5.1)", 6)},
		"in their order":            {says: map[string]string{"EHLO": ehlo, "HELP": "214-a|214 b"}, input: "EHLO x|NOOP|HELP|NOOP|DATA|RSET|NOOP", server: "EHLO x|HELP|RSET", client: "250-mx|250-PIPELINING|250-STARTTLS|250 8BITMIME|250 OK|214-a|214 b|250 OK|503 MAIL first (#5.5.1)|250 ok|250 OK"},
		"MAIL declines":             {says: map[string]string{"EHLO": ehlo}, input: "EHLO x|NOOP|mail FROM:<a>|RCPT|NOOP|EHLO y|STARTTLS", server: "EHLO x|mail FROM:<a>|RCPT|NOOP|EHLO y|STARTTLS", client: "250-mx|250-PIPELINING|250-STARTTLS|250 8BITMIME|250 OK|250 ok|250 ok|250 ok|250-mx|250-PIPELINING|250 8BITMIME|250 ok", copying: true},
		"HELO declines":             {says: map[string]string{"HELO": "not even SMTP"}, input: "HELO x|STARTTLS", server: "HELO x|STARTTLS", client: "not even SMTP|250 ok", copying: true},
		"STARTTLS":                  {says: map[string]string{"RSET": "250-a|250 b"}, input: "NOOP|starttls", server: "RSET", client: "250 OK|220 Ready to start TLS", secure: true},
		"STARTTLS with trailing":    {input: "STARTTLS ", server: "RSET", client: "220 Ready to start TLS", secure: true},
		"STARTTLS with an argument": {input: "STARTTLS x|NOOP", client: "501 Syntax error (no parameters allowed) (#5.5.4)|250 OK"},
		"no RSET":                   {says: map[string]string{"RSET": "421-a|421 b"}, input: "STARTTLS", server: "RSET", client: "454 Server failed to reset"},
		"required":                  {required: true, says: map[string]string{"EHLO": "250-mx|250 X"}, input: "MAIL FROM:<a>|HELO x|HELP|RSET|AUTH|DATA|NOOP|EHLO x|QUIT", server: "EHLO x|QUIT", client: strings.Repeat("530 Must start TLS first (#5.7.0)|", 6) + "250 OK|250-mx|250-STARTTLS|250 X|250 ok"},
		"required and done":         {required: true, input: "STARTTLS", server: "RSET", client: "220 Ready to start TLS", secure: true},
		"no SMTP":                   {says: map[string]string{"HELP": "hello"}, input: "HELP|NOOP", server: "HELP", exit: ExitServer},
		"no code of SMTP":           {says: map[string]string{"HELP": "600 x"}, input: "HELP", server: "HELP", exit: ExitServer},
		"no text at all":            {says: map[string]string{"HELP": "250"}, input: "HELP", server: "HELP", exit: ExitServer},
		"too long a line":           {says: map[string]string{"HELP": "250 " + strings.Repeat("x", 1018)}, input: "HELP", server: "HELP", exit: ExitServer},
		"not quite":                 {says: map[string]string{"HELP": "250 " + strings.Repeat("x", 1017)}, input: "HELP", server: "HELP", client: "250 " + strings.Repeat("x", 1017)},
		"the client, too long":      {input: "NOOP|" + strings.Repeat("x", 1022), client: "250 OK", exit: ExitTrouble},
		"the client, not quite":     {input: "NOOP|" + strings.Repeat("x", 1021), client: "250 OK|500 unimplemented (#5.5.1)"},
	} {
		for cutting, cut := range map[string]func(int) int{"whole": whole, "single bytes": single} {
			d, s := newDialogue(c.required), &server{says: c.says}
			if s.says == nil {
				s.says = map[string]string{}
			}
			s.says["GREETING"] = "220-mx|220 mx"
			client := talk(d, s, lines(c.input), cut)
			if c.exit == 0 {
				client = strings.TrimPrefix(client, "220-mx\r\n220 mx\r\n")
			} else if strings.HasPrefix("220-mx\r\n220 mx\r\n250 OK\r\n", client) {
				client = lines(c.client) // it ends wherever it has come to
			}
			if client != lines(c.client) || s.heard != lines(c.server) || d.copying != c.copying || d.secure != c.secure || d.exit != c.exit {
				t.Errorf("%s, %s: client hears %q, server %q, %+v", reason, cutting, client, s.heard, d)
			}
		}
	}
}

// TestInjection: whatever is known to have come behind STARTTLS, nothing of it
// is taken for something said under TLS.
func TestInjection(t *testing.T) {
	d := newDialogue(false)
	d.fromServer([]byte("220 mx\r\n"))
	d.toClient = nil
	input := []byte("STARTTLS\r\nMAI")
	if used := d.fromClient(input); used != len(input) || d.secure || len(d.toServer) > 0 || string(d.toClient) != nothingMay {
		t.Errorf("a line begun: %q, %+v", d.toClient, d)
	}
	d.toClient = nil
	d.fromClient([]byte("L x\r\n"))
	if string(d.toServer) != "MAIL x\r\n" || !d.copying {
		t.Errorf("in clear as before: %q", d.toServer)
	}

	d = newDialogue(false)
	d.fromServer([]byte("220 mx\r\n"))
	d.fromClient([]byte("STARTTLS\r\n"))
	if used := d.fromClient([]byte("MAIL x\r\n")); used != 0 || d.hungry() {
		t.Errorf("%d bytes taken that belong to nobody", used)
	}
	d.toClient = nil
	d.fromServer([]byte("250 ok\r\n451 time"))
	if string(d.toClient) != ready || !d.secure {
		t.Errorf("%q", d.toClient)
	}
	d.toClient = nil
	d.fromServer([]byte("out\r\n"))
	if len(d.toClient) > 0 {
		t.Errorf("in clear after 220: %q", d.toClient)
	}
	d.begun()
	d.fromServer([]byte("250 x"))
	if string(d.toClient) != "451 timeout\r\n250 x" || !d.copying {
		t.Errorf("under TLS: %q", d.toClient)
	}
}

func TestUnasked(t *testing.T) {
	d := newDialogue(false)
	d.fromServer([]byte("220 mx\r\n451 timeout\r\n421-a\r\n421 b\r\n"))
	d.fromClient([]byte("NOOP\r\n"))
	if string(d.toClient) != "220 mx\r\n451 timeout\r\n421-a\r\n421 b\r\n250 OK\r\n" {
		t.Errorf("%q", d.toClient)
	}
}

func TestBounds(t *testing.T) {
	d := newDialogue(false)
	many := []byte(strings.Repeat("HELP\r\n", 2*maxQueue))
	used := d.fromClient(many)
	if len(d.queue) != maxQueue || used >= len(many) {
		t.Errorf("%d expected, %d bytes taken", len(d.queue), used)
	}
	d.toServer = nil
	d.fromServer([]byte(strings.Repeat("214-a\r\n214 b\r\n", maxQueue)))
	if n := d.fromClient(many[used:]); n == 0 {
		t.Error("the rest is not taken")
	}
	d.copy()
	d.toServer = nil
	for range 10 {
		d.fromClient(make([]byte, 16<<10))
	}
	if len(d.toServer) > maxAhead+16<<10 {
		t.Errorf("%d bytes for the server", len(d.toServer))
	}
}

// FuzzDialogue: however input and replies are cut, the same comes of it, but for
// a STARTTLS of which it is not known that something follows.
func FuzzDialogue(f *testing.F) {
	for _, input := range []string{"EHLO x\r\nNOOP\r\nMAIL FROM:<a>\r\nDATA\r\n.\r\n", "STARTTLS\r\nMAIL", "HELP\nNOOP\r\nHELO x\r\nSTARTTLS\r\n", "STARTTLS \r\n", "QUIT\r\nVRFY\rx\n\n"} {
		f.Add(input, uint64(1), false)
	}
	f.Fuzz(func(t *testing.T, input string, seed uint64, required bool) {
		random := rand.New(rand.NewPCG(seed, 0))
		run := func(cut func(int) int) (string, string, *dialogue) {
			d := newDialogue(required)
			s := &server{says: map[string]string{"GREETING": "220 mx", "EHLO": ehlo, "HELP": "214-a|214-b|214 c"}}
			return talk(d, s, input, cut), s.heard, d
		}
		client, heard, d := run(whole)
		pieces, heardPieces, dp := run(func(most int) int { return random.IntN(min(most, 12) + 1) })
		if required && (d.copying || dp.copying) {
			t.Fatalf("%q: copied in clear", input)
		}
		if strings.Contains(strings.ToLower(input), "starttls") || d.exit != 0 {
			return // how it ends depends on the pieces
		}
		if client != pieces || heard != heardPieces || d.copying != dp.copying || d.exit != dp.exit {
			t.Fatalf("%q at once: %q, server %q, %+v\nin pieces: %q, server %q, %+v", input, client, heard, d, pieces, heardPieces, dp)
		}
	})
}
