package smtptest

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// Dialogue is one delivery: what is asked for, the world around it, and what
// must be reported. It is immutable once parsed.
type Dialogue struct {
	Comment string
	Argv    []string          // host, sender, recipients
	Files   map[string]string // path under qmail's home → content; {home} is not yet replaced
	After   map[string]string // the same, when all is over
	Message []byte            // as qmail stores it
	Wire    []byte            // content as it must arrive, with the final dot; nil: derived from Message
	Zone    string            // for dnstest.ParseZone
	Servers map[string]Script // by "192.0.2.7:25"
	Report  []byte
	Within  time.Duration // 0: no limit
	Age     time.Duration // of the message
	modes   map[string]bool
	tls     []byte // report.tls
}

// defaultMessage is what is sent where a dialogue has no message section.
const defaultMessage = "Subject: hello\n\nHello.\n.\n..two\n"

// ReadDialogue reads and parses one file; errors name the file and the section.
func ReadDialogue(file string) (*Dialogue, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d, err := ParseDialogue(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// ParseDialogue parses a dialogue; see the package comment for the format.
func ParseDialogue(data []byte) (*Dialogue, error) {
	for line := range bytes.Lines(data) {
		if bytes.Equal(bytes.TrimRight(line, "\r\n"), []byte("-- --")) {
			return nil, fmt.Errorf("a section without a name") // txtar.Parse panics
		}
	}
	ar := txtar.Parse(data)
	d := &Dialogue{
		Comment: string(ar.Comment),
		Files:   map[string]string{},
		After:   map[string]string{},
		Message: []byte(defaultMessage),
		Servers: map[string]Script{},
	}
	seen := map[string]bool{}
	for _, f := range ar.Files {
		if seen[f.Name] {
			return nil, fmt.Errorf("section %s: twice", f.Name)
		}
		seen[f.Name] = true
		if err := d.section(f.Name, string(f.Data)); err != nil {
			return nil, fmt.Errorf("section %s: %w", f.Name, err)
		}
	}
	if !seen["argv"] && !seen["argv.quoted"] || !seen["report"] {
		return nil, fmt.Errorf("argv and report are missing")
	}
	return d, nil
}

// WriteMessage writes the message into a file, which is of its Age.
func (d *Dialogue) WriteMessage(file string) error {
	if err := os.WriteFile(file, d.Message, 0o644); err != nil {
		return err
	}
	written := time.Now().Add(-d.Age)
	return os.Chtimes(file, written, written)
}

func (d *Dialogue) section(name, text string) (err error) {
	if base, ok := strings.CutSuffix(name, ".quoted"); ok {
		raw, err := unquote(text)
		if err != nil {
			return err
		}
		name, text = base, string(raw)
	} else if name != "message" && name != "wire" {
		if text, err = expand(text); err != nil {
			return err
		}
	}
	switch name {
	case "argv":
		d.Argv, err = words(strings.TrimRight(text, "\n"))
	case "message":
		d.Message = []byte(text)
	case "wire":
		d.Wire = []byte(text)
	case "dns":
		d.Zone = text
	case "report":
		d.Report, err = unescape(text)
	case "report.tls":
		d.tls, err = unescape(text)
	case "modes":
		err = d.setModes(text)
	case "within":
		d.Within, err = time.ParseDuration(strings.TrimSpace(text))
	case "age":
		d.Age, err = time.ParseDuration(strings.TrimSpace(text))
	default:
		err = d.fileOrServer(name, text)
	}
	return err
}

func (d *Dialogue) fileOrServer(name, text string) error {
	if _, err := netip.ParseAddrPort(name); err == nil {
		s, err := ParseScript(text)
		d.Servers[name] = s
		return err
	}
	if !strings.Contains(name, "/") || !filepath.IsLocal(name) || path.Clean(name) != name {
		return fmt.Errorf("no such section")
	}
	if after, ok := strings.CutPrefix(name, "after/"); ok {
		d.After[after] = text
		return nil
	}
	d.Files[name] = text
	return nil
}

func (d *Dialogue) setModes(text string) error {
	d.modes = map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, w := range strings.Fields(line) {
			switch w {
			case "whole", "bytes", "random", "clear", "tls", "engine", "process":
				d.modes[w] = true
			default:
				return fmt.Errorf("no such mode: %s", w)
			}
		}
	}
	return nil
}

// Runs reports whether the dialogue is meant for a mode. Of each of the three
// groups, a file that names no member runs in all.
func (d *Dialogue) Runs(mode string) bool {
	if mode == "process" && (d.Within != 0 || d.slow()) {
		return false
	}
	for _, group := range [][]string{{"whole", "bytes", "random"}, {"clear", "tls"}, {"engine", "process"}} {
		named, member := false, false
		for _, m := range group {
			named = named || d.modes[m]
			member = member || m == mode
		}
		if member && named {
			return d.modes[mode]
		}
	}
	return true
}

// slow reports whether a dialogue needs simulated time, or a simulated network.
func (d *Dialogue) slow() bool {
	for _, s := range d.Servers {
		if s.Blackhole {
			return true
		}
		for _, c := range s.Conns {
			for _, st := range c {
				if st.verb == "!wait" || st.verb == "!drip" || st.verb == "!refuse" {
					return true
				}
			}
		}
	}
	return false
}

// Content is the message as it must cross the wire under DATA: lines that end
// in CRLF, dot-stuffed, with the final dot (RFC 5321 §4.5.2).
func (d *Dialogue) Content() []byte {
	if d.Wire != nil {
		return d.Wire
	}
	var b []byte
	for line := range bytes.Lines(canonical(d.Message)) {
		if line[0] == '.' {
			b = append(b, '.')
		}
		b = append(b, line...)
	}
	return append(b, ".\r\n"...)
}

// canonical is the message with every LF, CRLF and bare CR as CRLF.
func canonical(m []byte) []byte {
	m = bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))
	m = bytes.ReplaceAll(m, []byte("\r"), []byte("\n"))
	return bytes.ReplaceAll(m, []byte("\n"), []byte("\r\n"))
}

// Install writes the files below home, where {home} becomes home.
func (d *Dialogue) Install(home string) error {
	for name, text := range d.Files {
		file := home + "/" + name
		if err := os.MkdirAll(path.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "{home}", home)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Leftovers says which files are not as After wants them.
func (d *Dialogue) Leftovers(home string) []string {
	var wrong []string
	for name, want := range d.After {
		got, err := os.ReadFile(home + "/" + name)
		if err != nil || string(got) != want {
			wrong = append(wrong, fmt.Sprintf("%s is afterwards %q (%v), not %q", name, got, err, want))
		}
	}
	return wrong
}

// Update rewrites the report section of a file, and nothing else.
func Update(file string, report []byte) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	ar := txtar.Parse(data)
	for i := range ar.Files {
		if ar.Files[i].Name == "report" {
			ar.Files[i].Data = []byte(Escape(report))
		}
	}
	return os.WriteFile(file, txtar.Format(ar), 0o644)
}

// Escape writes a report as in a report section: one record per line.
func Escape(report []byte) string {
	var b strings.Builder
	for _, c := range report {
		switch {
		case c == 0:
			b.WriteString("\\0\n")
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\\':
			b.WriteString(`\\`)
		case c < 0x20 || c > 0x7e:
			fmt.Fprintf(&b, `\x%02x`, c)
		default:
			b.WriteByte(c)
		}
	}
	s := b.String()
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return s
}

// unescape is Escape's inverse.
func unescape(s string) ([]byte, error) {
	s = strings.ReplaceAll(s, "\n", "")
	var b []byte
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			b = append(b, s[i])
			continue
		}
		i++
		if i == len(s) {
			return nil, fmt.Errorf("a lone backslash at the end")
		}
		switch s[i] {
		case 'n':
			b = append(b, '\n')
		case 'r':
			b = append(b, '\r')
		case '0':
			b = append(b, 0)
		case '\\':
			b = append(b, '\\')
		case 'x':
			if i+2 >= len(s) {
				return nil, fmt.Errorf(`\x needs two digits`)
			}
			c, err := strconv.ParseUint(s[i+1:i+3], 16, 8)
			if err != nil {
				return nil, fmt.Errorf(`\x%s is no byte`, s[i+1:i+3])
			}
			b = append(b, byte(c))
			i += 2
		default:
			return nil, fmt.Errorf(`\%c means nothing`, s[i])
		}
	}
	return b, nil
}
