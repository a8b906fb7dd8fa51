package fixsmtpio

import (
	"bytes"
	"strings"

	"postrider/inbound"
	"postrider/internal/ascii"
)

// rewriter applies rules.
type rewriter struct {
	rules    []Rule
	greeting string
	env      inbound.Env // in which a rule's variable is looked for
	offers   bool        // STARTTLS is to be advertised
}

// applying gives the rules for an event, in their order.
func (w *rewriter) applying(event string, do func(*Rule)) {
	for i := range w.rules {
		r := &w.rules[i]
		if r.Event != event {
			continue
		}
		if r.Env != "" {
			if _, set := w.env.Lookup(r.Env); !set {
				continue
			}
		}
		do(r)
	}
}

// request is a request line with everything in front that rules prepend: what
// comes first among them ends up next to it.
func (w *rewriter) request(event, line string) string {
	w.applying(event, func(r *Rule) { line = r.Prepend + line })
	return line
}

// ended gives the exit code for a client that left rest behind, or -1.
func (w *rewriter) ended(rest string) int {
	exit := -1
	w.applying(clientEOF, func(r *Rule) {
		if r.Exit >= 0 && match(r.Glob, rest) {
			exit = r.Exit
		}
	})
	return exit
}

// reply rewrites a whole reply, given as lines with their ends. Of exit codes
// the last counts; -1 is none. A reply that we have made ourselves has no use
// for fixups, which are about the server's.
func (w *rewriter) reply(event string, lines []string, ours bool) (out []byte, exit int) {
	exit = -1
	for i, original := range lines {
		text := original
		hidden := event == "ehlo" && i > 0 && unfollowed(original)
		if hidden {
			text = ""
		}
		// Compat(acceptutils): a glob is for what the server said, never for
		// what an earlier rule has made of it.
		w.applying(event, func(r *Rule) {
			if !match(r.Glob, original) {
				return
			}
			if r.Exit >= 0 {
				exit = r.Exit
			}
			switch {
			case r.action == replace && !hidden:
				text = r.Response
			case r.action == fixup && !ours:
				text = w.fix(event, i, text)
			}
		})
		out = append(out, text...)
		if text != "" && !strings.Contains(text, "\n") {
			out = append(out, "\r\n"...)
		}
	}
	return renumber(out), exit
}

// unfollowed reports whether a line of an EHLO reply announces an extension
// that puts content where we see commands (RFC 3030): see (*dialogue).request.
func unfollowed(line string) bool {
	word := ascii.ToLower(strings.TrimRight(keyword(line), "\r\n"))
	return word == "chunking" || word == "binarymime"
}

// keyword is what follows the code of a reply line, to its first space.
func keyword(line string) string {
	if len(line) < 4 {
		return ""
	}
	word, _, _ := strings.Cut(line[4:], " ")
	return word
}

// hasFixup reports whether an event has a fixup.
func hasFixup(event string) bool {
	switch event {
	case greeting, "helo", "ehlo", "help", "quit":
		return true
	}
	return false
}

// help is whose HELP sends people where: what goes wrong here is ours, and no
// other project's.
const help = "214 fixsmtpio is Postrider's: see fixsmtpio(8)"

// fix edits text, which is what rules have made so far of the reply's line i.
func (w *rewriter) fix(event string, i int, text string) string {
	switch event {
	case greeting:
		return "220 " + w.greeting + " ESMTP\r\n"
	case "helo":
		return "250 " + w.greeting + "\r\n"
	case "quit":
		return "221 " + w.greeting + "\r\n"
	case "help":
		if i == 0 {
			return help + "\r\n" + text
		}
		return text
	case "ehlo":
		return w.fixEHLO(i, text)
	}
	panic("fixsmtpio: no fixup for " + event)
}

func (w *rewriter) fixEHLO(i int, text string) string {
	if i == 0 {
		return "250 " + w.greeting + "\r\n"
	}
	if ascii.ToLower(strings.TrimRight(keyword(text), "\r\n")) == "starttls" {
		text = "" // a promise that it could not keep: the client is ours
	}
	if i == 1 && w.offers {
		text = "250-STARTTLS\r\n" + text
	}
	return text
}

// renumber makes lines one reply: "-" after the code of each but the last, a
// space in the last (RFC 5321 §4.2.1). A line that has no code stays as it is.
func renumber(text []byte) []byte {
	out := make([]byte, 0, len(text)+8)
	for len(text) > 0 {
		line := text
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			line = text[:i+1]
		}
		text = text[len(line):]
		body := bytes.TrimRight(line, "\r\n")
		if !hasCode(string(body)) {
			out = append(out, line...)
			continue
		}
		mark := byte(' ')
		if len(text) > 0 {
			mark = '-'
		}
		out = append(out, body[:3]...)
		if len(body) > 3 || mark == '-' {
			out = append(out, mark)
		}
		out = append(out, line[min(4, len(body)):]...)
	}
	return out
}

func hasCode(line string) bool {
	return len(line) >= 3 && strings.Trim(line[:3], "0123456789") == ""
}
