package fixsmtpio

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"postrider/inbound"
)

// TestDialogue: what the server hears and the client hears, by reason. The
// greeting is left out of both.
func TestDialogue(t *testing.T) {
	for reason, c := range map[string]struct {
		setting
		says   map[string]string
		input  string
		server string // what it has heard, unless a rule has ended the session
		client string
		exit   int // + 1, so that 0 is none
		err    error
	}{
		"no rules":                     {input: "EHLO x|Mail  FROM:<a> |nonsense", says: map[string]string{"EHLO": ehlo, "NONSENSE": "502 what?"}, server: "EHLO x|Mail  FROM:<a> |nonsense", client: ehlo + "|250 ok|502 what?"},
		"prepended and replaced":       {setting: setting{rules: []string{":mail:AA :*::", ":mail:BB :2*::222 two", ":mail::*::333 three"}}, says: map[string]string{"BB": "250-one|250 two"}, input: "MAIL x", server: "BB AA MAIL x", client: "333-three|333 three"},
		"a glob is for the whole line": {setting: setting{rules: []string{":noop::250 ok::250 x", ":rset::250 ok*::250 y", ":vrfy::250 ok?\n::250 z"}}, input: "NOOP|RSET|VRFY", server: "NOOP|RSET|VRFY", client: "250 ok|250 y|250 z"},
		"all lines deleted":            {setting: setting{rules: []string{":ehlo::250*::"}}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x|NOOP", server: "EHLO x|NOOP", client: "250 ok"},
		"the last line deleted":        {setting: setting{rules: []string{":ehlo::250?8BIT*::"}}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x", server: "EHLO x", client: "250-kid|250 PIPELINING"},
		"an exit code":                 {setting: setting{rules: []string{":rset::2*:42:250 bye"}}, input: "RSET|NOOP", client: "250 bye", exit: 42 + 1},
		"the last exit code":           {setting: setting{rules: []string{":rset::2*:42:", ":rset::*:43:", ":rset::5*:44:"}}, input: "RSET", client: "", exit: 43 + 1},
		"by variable":                  {setting: setting{rules: []string{"HAVE:noop::*::250 have", "HAVENT:noop::*::250 have not"}, env: inbound.Env{"HAVE="}}, input: "NOOP", server: "NOOP", client: "250 have"},
		"the verb in any case":         {setting: setting{rules: []string{":NoOp::*::250 x"}}, input: "nOoP|NOOP x|NOOPX", server: "nOoP|NOOP x|NOOPX", client: "250 x|250 x|250 ok"},
		"a word of rules is no verb":   {setting: setting{rules: []string{":timeout::*:16:", ":clienteof::*:17:", ":in_data::*:19:"}}, input: "timeout|CLIENTEOF|in_data", server: "timeout|CLIENTEOF|in_data", client: "250 ok|250 ok|250 ok"},
		"not of the rewritten line":    {setting: setting{rules: []string{":noop::2*::500 no", ":noop::5*::", ":noop::500*::251 x"}}, input: "NOOP", server: "NOOP", client: "500 no"},
		"noop after a change":          {setting: setting{rules: []string{":noop::2*::251 x", ":noop::2*::&fixsmtpio_noop"}}, input: "NOOP", server: "NOOP", client: "251 x"},

		"fixups":                       {setting: setting{rules: []string{":helo::2*::&fixsmtpio_fixup", ":quit::2*::&fixsmtpio_fixup", ":help::*::&fixsmtpio_fixup"}}, says: map[string]string{"HELP": "214 see me", "QUIT": "221 kid"}, input: "HELO x|HELP|QUIT", server: "HELO x|HELP|QUIT", client: "250 me.example|214-fixsmtpio is Postrider's: see fixsmtpio(8)|214 see me|221 me.example"},
		"help of many lines":           {setting: setting{rules: []string{":help::*::&fixsmtpio_fixup"}}, says: map[string]string{"HELP": "214-a|214 b"}, input: "HELP", server: "HELP", client: "214-fixsmtpio is Postrider's: see fixsmtpio(8)|214-a|214 b"},
		"STARTTLS is offered":          {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup"}, level: inbound.Available}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x", server: "EHLO x", client: "250-me.example|250-STARTTLS|250-PIPELINING|250 8BITMIME"},
		"not twice":                    {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup"}, level: inbound.Available}, says: map[string]string{"EHLO": "250-kid|250-PIPELINING|250 StartTLS"}, input: "EHLO x", server: "EHLO x", client: "250-me.example|250-STARTTLS|250 PIPELINING"},
		"not by a server that cannot":  {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup"}}, says: map[string]string{"EHLO": "250-kid|250 STARTTLS"}, input: "EHLO x", server: "EHLO x", client: "250 me.example"},
		"not in one line":              {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup"}, level: inbound.Available}, says: map[string]string{"EHLO": "250 kid"}, input: "EHLO x", server: "EHLO x", client: "250 me.example"},
		"not without a rule":           {setting: setting{level: inbound.Available}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x", server: "EHLO x", client: ehlo},
		"not to the authenticated":     {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup"}, level: inbound.Available, env: inbound.Env{"AUTHUP_USER=u"}}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x", server: "EHLO x", client: "250-me.example|250-PIPELINING|250 8BITMIME"},
		"not under TLS":                {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup"}, level: inbound.Available, tls: true}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x", server: "EHLO x", client: "250-me.example|250-PIPELINING|250 8BITMIME"},
		"offered where a line is gone": {setting: setting{rules: []string{":ehlo::250?PIPE*::", ":ehlo::2*::&fixsmtpio_fixup"}, level: inbound.Required}, says: map[string]string{"EHLO": ehlo}, input: "EHLO x", server: "EHLO x", client: "250-me.example|250-STARTTLS|250 8BITMIME"},

		"offered in place of CHUNKING": {setting: setting{rules: []string{":ehlo::2*::&fixsmtpio_fixup", ":ehlo::250?CHUNK*::250 CHUNKING"}, level: inbound.Required}, says: map[string]string{"EHLO": "250-kid|250-CHUNKING|250 8BITMIME"}, input: "EHLO x", server: "EHLO x", client: "250-me.example|250-STARTTLS|250 8BITMIME"},

		"STARTTLS under TLS":       {setting: setting{tls: true}, input: "STARTTLS", server: "NOOP fixsmtpio STARTTLS AGAIN STARTTLS", client: "502 unimplemented (#5.5.1)"},
		"STARTTLS not available":   {input: "starttls x", server: "NOOP fixsmtpio STARTTLS BLOCK starttls x", client: "502 unimplemented (#5.5.1)"},
		"STARTTLS with arguments":  {setting: setting{level: inbound.Available}, input: "STARTTLS x", server: "NOOP fixsmtpio STARTTLS BLOCK STARTTLS x", client: "501 Syntax error (no parameters allowed) (#5.5.4)"},
		"no rules for STARTTLS":    {setting: setting{rules: []string{":starttls:X :*:7:555 x"}}, input: "STARTTLS", server: "NOOP fixsmtpio STARTTLS BLOCK STARTTLS", client: "502 unimplemented (#5.5.1)"},
		"TLS first":                {setting: setting{level: inbound.Required}, says: map[string]string{"EHLO": ehlo, "QUIT": "221 kid", "NOOP": "250-a|250 b"}, input: "MAIL x|HELP|HELO x|DATA|noop|Ehlo|quit", server: "NOOP fixsmtpio STARTTLS FIRST MAIL x|NOOP fixsmtpio STARTTLS FIRST HELP|NOOP fixsmtpio STARTTLS FIRST HELO x|NOOP fixsmtpio STARTTLS FIRST DATA|noop|Ehlo|quit", client: strings.Repeat("530 Must start TLS first (#5.7.0)|", 4) + "250-a|250 b|" + ehlo + "|221 kid"},
		"TLS first, with rules":    {setting: setting{level: inbound.Required, rules: []string{":help::*::&fixsmtpio_fixup", ":mail:MAIL :2*::333 x", ":rcpt::530*::531 x"}}, input: "HELP|MAIL|RCPT", server: "NOOP fixsmtpio STARTTLS FIRST HELP|NOOP fixsmtpio STARTTLS FIRST MAIL|NOOP fixsmtpio STARTTLS FIRST RCPT", client: "530 Must start TLS first (#5.7.0)|530 Must start TLS first (#5.7.0)|531 x"},
		"TLS is there":             {setting: setting{level: inbound.Required, tls: true}, input: "MAIL x", server: "MAIL x", client: "250 ok"},
		"nothing hides behind NUL": {setting: setting{rules: []string{":data:NOOP :*::502 no"}}, input: "DATA\x00|NOOP", server: "NOOP fixsmtpio NUL|NOOP", client: "500 no NUL in commands (#5.5.2)|250 ok"},
		"nor in BDAT":              {says: map[string]string{"EHLO": "250-kid|250-Chunking|250-BINARYMIME|250 CHUNKINGS"}, input: "EHLO x|bdat 10 LAST", server: "EHLO x|NOOP fixsmtpio BDAT bdat 10 LAST", client: "250-kid|250 CHUNKINGS|502 unimplemented (#5.5.1)"},

		"a host called Chunking": {says: map[string]string{"EHLO": "250-CHUNKING|250 X"}, input: "EHLO x", server: "EHLO x", client: "250-CHUNKING|250 X"},

		"content":                   {says: map[string]string{"DATA": "354 go", ".": "250 took"}, input: "DATA|Subject: DATA||.|NOOP", server: "DATA|Subject: DATA\r\n\r\n.\r\n|NOOP", client: "354 go|250 took|250 ok"},
		"no content":                {says: map[string]string{"DATA": "354 go", ".": "250 took"}, input: "DATA|.|NOOP", server: "DATA|.\r\n|NOOP", client: "354 go|250 took|250 ok"},
		"dots in content":           {says: map[string]string{"DATA": "354 go", ".": "250 took"}, input: "data|..|.x|\r.|.\r|x.|\n.\n|.|NOOP", server: "data|..\r\n.x\r\n\r.\r\n.\r\r\nx.\r\n\n.\n\r\n.\r\n|NOOP", client: "354 go|250 took|250 ok"},
		"the reply to content":      {setting: setting{rules: []string{":in_data::250*::250 got it", ":data::2*::250 no"}}, says: map[string]string{"DATA": "354 go", ".": "250 took"}, input: "DATA|x|.", server: "DATA|x\r\n.\r\n", client: "354 go|250 got it"},
		"DATA refused":              {says: map[string]string{"DATA": "503 MAIL first"}, input: "DATA|NOOP|.|QUIT", server: "DATA|NOOP|.|QUIT", client: "503 MAIL first|250 ok|250 ok|250 ok"},
		"DATA hidden from both":     {setting: setting{rules: []string{":data:NOOP :*::502 no"}}, input: "DATA|x", server: "NOOP DATA|x", client: "502 no|250 ok"},
		"content hidden by a rule":  {setting: setting{rules: []string{":data::3*::554 no"}}, says: map[string]string{"DATA": "354 go"}, input: "DATA|MAIL x", server: "DATA", client: "554 no", err: errDisagree},
		"content promised by one":   {setting: setting{rules: []string{":data::5*::354 go"}}, says: map[string]string{"DATA": "503 no"}, input: "DATA|MAIL x", server: "DATA", client: "354 go", err: errDisagree},
		"nothing said of content":   {setting: setting{rules: []string{":data::3*::"}}, says: map[string]string{"DATA": "354 go"}, input: "DATA|MAIL x", server: "DATA", client: "", err: errDisagree},
		"content without DATA":      {says: map[string]string{"DATA\t": "354 go"}, input: "DATA\t|x", server: "DATA\t", client: "354 go", err: errUnasked},
		"content by another name":   {setting: setting{rules: []string{":foo:DATA :*::"}}, says: map[string]string{"DATA": "354 go"}, input: "FOO|x", server: "DATA FOO", client: "", err: errDisagree},
		"a challenge is no content": {says: map[string]string{"AUTH": "334 VXNlcm5hbWU6", "DXNLCG==": "235 ok"}, input: "AUTH LOGIN|dXNlcg==", server: "AUTH LOGIN|dXNlcg==", client: "334 VXNlcm5hbWU6|235 ok"},

		"line ends": {input: "NOOP a\n RSET\r|NOOP", server: "NOOP a| RSET|NOOP", client: "250 ok|250 ok|250 ok"},
		"no code":   {says: map[string]string{"NOOP": "x-y", "RSET": "250", "VRFY": "250-|250 b"}, setting: setting{rules: []string{":rset::*::250"}}, input: "NOOP|RSET|VRFY", server: "NOOP|RSET|VRFY", client: "x-y|250|250-|250 b"},
	} {
		for cutting, cut := range map[string]func(int) int{"whole": whole, "single bytes": single} {
			c.helper = true
			d, s := c.dialogue(t, nil), &server{says: c.says}
			if s.says == nil {
				s.says = map[string]string{}
			}
			s.says["GREETING"] = "220 kid"
			client := strings.TrimPrefix(talk(d, s, lines(c.input), cut), "220 kid\r\n")
			if client != lines(c.client) || d.exit != c.exit-1 || d.err != c.err || d.over != (c.exit > 0 || c.err != nil) {
				t.Errorf("%s, %s: client hears %q, exit %d, %v", reason, cutting, client, d.exit, d.err)
			}
			if heard := strings.Join(s.heard, "|"); heard != c.server && c.exit == 0 {
				t.Errorf("%s, %s: server hears %q", reason, cutting, heard)
			}
		}
	}
}

// TestGreeting: the first reply, and the seed's way to make exit codes of it.
func TestGreeting(t *testing.T) {
	rs := exampleRules(t)
	authenticated := inbound.Env{"AUTHUP_USER=u"}
	for reason, c := range map[string]struct {
		env    inbound.Env
		says   string
		client string
		exit   int
	}{
		"for everybody":         {nil, "220 ofmipd.local ESMTP", "220 me.example ESMTP", -1},
		"refused":               {nil, "554 no", "554 no", -1},
		"the second server":     {inbound.Env{"FIXSMTPIOTLS=1"}, "220 ofmipd.local ESMTP", "", -1},
		"the authenticated":     {authenticated, "220 ofmipd.local ESMTP", "235 ok, go ahead (#2.0.0)", -1},
		"refused for now":       {authenticated, "421 nope", "421 nope", 14},
		"refused for good":      {authenticated, "554-no|554 pe", "554-no|554 pe", 15},
		"of more than one line": {nil, "220-a|220 b", "220-me.example ESMTP|220 me.example ESMTP", -1},
	} {
		d := setting{env: c.env}.dialogue(t, rs)
		s := &server{says: map[string]string{"GREETING": c.says}}
		if client := talk(d, s, "", single); client != lines(c.client) || d.exit != c.exit || d.over != (c.exit >= 0) {
			t.Errorf("%s: %q, exit %d", reason, client, d.exit)
		}
	}
}

func TestUnasked(t *testing.T) {
	env := inbound.Env{"AUTHUP_USER=u"}
	for reason, c := range map[string]struct {
		before string // from the client
		says   string
		client string
		exit   int
		deaf   bool // to the client, from now on
	}{
		"a timeout":              {"", "451 timeout", "", 16, false},
		"with a line begun":      {"NOO", "451 timeout", "", 16, false},
		"in content":             {"DATA|half a message", "451 timeout", "", 16, true},
		"at the end of content":  {"DATA|message|.", "250 took", "250 took", -1, false},
		"at an end that is none": {"DATA|message\n.\n", "250 took", "250 took", -1, false},
		"at an end in the midst": {"DATA|message\n.\nMAIL", "250 took", "", 16, true},
	} {
		d := greeted(t, setting{env: env}, exampleRules(t))
		for _, part := range strings.SplitAfter(lines(c.before), "DATA\r\n") {
			if !strings.HasPrefix(part, "DATA") {
				part = strings.TrimSuffix(part, "\r\n")
				if reason == "at the end of content" {
					part += "\r\n"
				}
			}
			if used := d.fromClient([]byte(part)); used != len(part) {
				t.Errorf("%s: %d of %q taken", reason, used, part)
			}
			if d.await {
				d.fromServer([]byte("354 go\r\n"))
				d.toClient = nil
			}
		}
		d.fromServer([]byte(lines(c.says)))
		if string(d.toClient) != lines(c.client) || d.exit != c.exit || d.over != (c.exit >= 0) {
			t.Errorf("%s: %q, exit %d", reason, d.toClient, d.exit)
		}
	}
	d := greeted(t, setting{}, rules(t))
	d.fromClient([]byte("DATA\r\n"))
	d.fromServer([]byte("354 go\r\n"))
	d.fromClient([]byte("bare\nfeed"))
	d.fromServer([]byte("451 See https://cr.yp.to/docs/smtplf.html.\r\n"))
	if !strings.HasPrefix(string(d.toClient), "354 go\r\n451 See") || d.hungry() || d.over || d.err != nil {
		t.Errorf("given up in content: %q, %+v", d.toClient, d)
	}
}

func TestClientEnd(t *testing.T) {
	for reason, c := range map[string]struct {
		rules []string
		input string
		exit  int
	}{
		"no rules":        {nil, "", -1},
		"whatever":        {[]string{":clienteof::*:0:"}, "", 0},
		"by what is left": {[]string{":clienteof::QU*:3:", ":clienteof::RS*:4:"}, "NOOP\r\nQUIT", 3},
		"nothing left":    {[]string{":clienteof::?*:3:"}, "NOOP\r\n", -1},
		"the last counts": {[]string{":clienteof::*:3:", ":clienteof::*:4:", ":clienteof::*::"}, "", 4},
		"not its own":     {[]string{"NOT:clienteof::*:3:"}, "", -1},
	} {
		d := greeted(t, setting{}, rules(t, c.rules...))
		d.fromClient([]byte(c.input))
		d.clientEnd()
		d.clientEnd()
		if d.exit != c.exit || d.over || d.hungry() || len(d.toClient) > 0 {
			t.Errorf("%s: exit %d, %+v", reason, d.exit, d)
		}
	}
	d := greeted(t, setting{}, rules(t, ":clienteof::*:0:", ":rset::*:42:", ":noop::*:43:"))
	d.fromClient([]byte("RSET\r\n"))
	d.clientEnd()
	d.fromServer([]byte("250 flushed\r\n"))
	if d.exit != 0 || !d.over || len(d.toClient) > 0 {
		t.Errorf("a reply after the end: %q, %+v", d.toClient, d)
	}
}

// TestSTARTTLS: TLS is due when its own reply is there, not one before it; what
// came in clear behind it is not taken.
func TestSTARTTLS(t *testing.T) {
	d := greeted(t, setting{level: inbound.Required}, rules(t))
	input := []byte("EHLO x\r\nNOOP\r\nSTARTTLS\r\nEHLO evil\r\n")
	used := d.fromClient(input)
	if rest := string(input[used:]); rest != "EHLO evil\r\n" || d.hungry() {
		t.Errorf("left: %q", rest)
	}
	if got := string(d.toServer); got != "EHLO x\r\nNOOP\r\nNOOP fixsmtpio STARTTLS BEGIN STARTTLS\r\n" {
		t.Errorf("server hears %q", got)
	}
	for _, reply := range []string{"250-kid\r\n250 X\r\n", "250 ok\r\n", "25", "0-o\r\n250 k\r"} {
		if d.fromServer([]byte(reply)); d.secure {
			t.Errorf("TLS already after %q", reply)
		}
	}
	d.fromServer([]byte("\n451 timeout\r\n"))
	if got := string(d.toClient); got != "250-kid\r\n250 X\r\n250 ok\r\n220 Ready to start TLS (#5.7.0)\r\n" || !d.secure || d.hungry() {
		t.Errorf("client hears %q, %+v", got, d)
	}
	d = greeted(t, setting{level: inbound.Available}, rules(t))
	d.helper = false
	d.fromClient([]byte("STARTTLS\r\n"))
	d.fromServer([]byte("250 ok\r\n"))
	if got := string(d.toClient); got != "454 TLS temporarily not available (#4.7.0)\r\n" || d.secure || !d.hungry() {
		t.Errorf("without a helper: %q, %+v", got, d)
	}
}

func TestBounds(t *testing.T) {
	d := greeted(t, setting{}, rules(t))
	many := []byte(strings.Repeat("RCPT TO:<a>\r\n", 2*maxQueue))
	used := d.fromClient(many)
	if len(d.queue) != maxQueue || used != maxQueue*13 && len(d.toServer) < maxAhead {
		t.Errorf("%d expected, %d bytes taken", len(d.queue), used)
	}
	d.toServer = nil
	for range maxQueue {
		d.fromServer([]byte("250 ok\r\n"))
	}
	if n := d.fromClient(many[used:]); n == 0 {
		t.Error("the rest is not taken")
	}

	d = greeted(t, setting{}, rules(t))
	big := []byte("DATA\r\n")
	d.fromClient(big)
	d.fromServer([]byte("354 go\r\n"))
	for range 10 {
		d.fromClient([]byte(strings.Repeat("x", 16<<10)))
	}
	if len(d.toServer) > maxAhead+16<<10 {
		t.Errorf("%d bytes for the server", len(d.toServer))
	}

	long := []byte(strings.Repeat("x", inbound.MaxLine))
	d = greeted(t, setting{}, rules(t))
	if d.fromClient(long); d.over {
		t.Error("a line of the greatest length")
	}
	if d.fromClient([]byte("\n")); d.err != errLineTooLong || string(d.toClient) != "500 line too long (#5.5.2)\r\n" {
		t.Errorf("too long: %q, %v", d.toClient, d.err)
	}
	d = greeted(t, setting{}, rules(t))
	d.fromClient([]byte("NOOP\r\n"))
	if d.fromClient(append(long, '\n')); d.over || d.hungry() || len(d.toClient) > 0 {
		t.Errorf("too long while a reply is due: %q, %v", d.toClient, d.err)
	}
	if d.fromServer([]byte("250 ok\r\n")); d.err != errLineTooLong || string(d.toClient) != "250 ok\r\n500 line too long (#5.5.2)\r\n" {
		t.Errorf("and then: %q, %v", d.toClient, d.err)
	}
	d = greeted(t, setting{}, rules(t))
	if d.fromClient([]byte("\x16\x03\x01\x02")); d.err != errTLS || string(d.toClient) != "221 this server speaks SMTP only (#4.7.0)\r\n" {
		t.Errorf("TLS: %q, %v", d.toClient, d.err)
	}

	for reason, reply := range map[string]string{"one line": strings.Repeat("2", maxReply+1), "many": strings.Repeat("250-x\r\n", maxReply/7+1)} {
		d = greeted(t, setting{}, rules(t))
		if d.fromServer([]byte(reply)); d.err != errReplyTooLong || len(d.toClient) > 0 {
			t.Errorf("a reply too long, %s: %q, %v", reason, d.toClient, d.err)
		}
	}
}

// FuzzDialogue: whatever the client sends, and however it and the replies are
// cut, the same comes of it; and it ends.
func FuzzDialogue(f *testing.F) {
	for _, input := range []string{
		"EHLO x\r\nMAIL FROM:<a>\r\nRCPT TO:<b>\r\nDATA\r\nhi\r\n.\r\nQUIT\r\n", "DATA\r\n.\r\nDATA\r\n\r\n.\r\r\n.\r\n\n.\nSTARTTLS\r\n", "STARTTLS\r\nEHLO\r\n",
		"NOOP\nDATA \r\nx\r\n.\r\n.\r\nDATA\x00\r\nAUTH x\r\nHELP", "data\r\n\r.\r\n.\r.\r\n\r\n.\r\nRSET\r\nVRFY\r\n",
		"DATA\n.\r\nDATA\r\r\r\n0000", // what follows is not taken, whole or not, once the server waits for content by mistake
	} {
		f.Add(input, uint64(1), uint8(0))
	}
	rs := rules(f, ":ehlo::2*::&fixsmtpio_fixup", ":help::*::&fixsmtpio_fixup", ":auth:NOOP :*::502 no", ":rset::2*:42:250 bye", ":vrfy::250-*::", ":in_data::*::250 got it", ":clienteof::?*:7:")
	f.Fuzz(func(t *testing.T, input string, seed uint64, kind uint8) {
		run := func(cut func(int) int) (string, []string, dialogue) {
			d := setting{level: inbound.Level(kind % 3), tls: kind&4 != 0}.dialogue(t, rs)
			s := &server{says: map[string]string{"GREETING": "220 kid", "EHLO": ehlo, "DATA": "354 go", "VRFY": "250-a|250 b", "HELP": "214-a|214-b|214 c"}}
			client := talk(d, s, input, cut)
			if !d.over && !d.secure {
				d.clientEnd()
			}
			return client, s.heard, *d
		}
		random := rand.New(rand.NewPCG(seed, 0))
		client, heard, d := run(whole)
		pieces, heardPieces, dp := run(func(most int) int { return random.IntN(min(most, 12) + 1) })
		if client != pieces || d.exit != dp.exit || d.err != dp.err || d.secure != dp.secure || d.data != dp.data || !d.over && string(d.line) != string(dp.line) {
			t.Fatalf("%q at once: %q %+v\nin pieces: %q %+v", input, client, d, pieces, dp)
		}
		if !slices.Equal(heard, heardPieces) && !d.over {
			t.Fatalf("%q at once: server hears %q\nin pieces: %q", input, heard, heardPieces)
		}
		if d.level == inbound.Required && !d.secured {
			for _, line := range heard {
				verb, _ := divide(line)
				if !inClear(verb) && verb != "" {
					t.Fatalf("%q: in clear the server hears %q", input, line)
				}
			}
		}
	})
}
