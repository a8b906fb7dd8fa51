package fixsmtpio

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"postrider/internal/ascii"
	"postrider/internal/control"
)

// Config is what the control files say.
type Config struct {
	Greeting string        // smtpgreeting, default me: our name
	Patience time.Duration // timeoutsmtpd: how long a client may refuse to take a reply
	Rules    []Rule        // fixsmtpio
}

// Load reads the control files of the qmail whose home is dir. An error that is
// a *RuleError says that they could be read, but not understood.
func Load(dir string) (Config, error) {
	files := control.Read(control.Dir(dir))
	greeting, there := files.LineOrMe("control/smtpgreeting")
	seconds := files.Number("control/timeoutsmtpd", 1200)
	lines, _ := files.List("control/fixsmtpio")
	if err := files.Err(); err != nil {
		return Config{}, err
	}
	if !there {
		return Config{}, &control.Error{File: "control/me", Err: fs.ErrNotExist}
	}
	rules, err := ParseRules(lines)
	if err != nil {
		return Config{}, err
	}
	return Config{Greeting: greeting, Patience: time.Duration(max(seconds, 1)) * time.Second, Rules: rules}, nil
}

// Events that are no verb of the client.
const (
	greeting  = "greeting"  // the server's first reply
	inData    = "in_data"   // its reply to the end of the content
	timeout   = "timeout"   // a reply that nothing has asked for
	clientEOF = "clienteof" // the client has gone
)

// action is what a rule does with a line that its glob matches.
type action uint8

const (
	replace action = iota // by Response; by nothing, when that is empty
	noop                  // nothing
	fixup                 // what the event asks for: see fix
)

// Rule is a line of control/fixsmtpio; see fixsmtpio(5).
type Rule struct {
	Env      string // applies only where this variable is set; "" always
	Event    string // in lower case
	Prepend  string // goes in front of the request
	Glob     string // of a line of the reply, its line end included
	Exit     int    // with this code, after the reply; -1 is none
	Response string // when action is replace
	action   action
}

// Errors of rules; they come wrapped in a *RuleError.
var (
	errFields    = errors.New("not six fields")
	errEvent     = errors.New("no event")
	errGlob      = errors.New("no response line glob")
	errExitCode  = errors.New("exit code is not 0 to 255")
	errClientEOF = errors.New("clienteof has nobody to respond to")
	errInternal  = errors.New("no such internal response for this event")
)

// RuleError is a rule that makes no sense.
type RuleError struct {
	Rule string
	Err  error
}

func (e *RuleError) Error() string { return strconv.Quote(e.Rule) + ": " + e.Err.Error() }

func (e *RuleError) Unwrap() error { return e.Err }

// ParseRules reads lines of which blank ones, comments and trailing blanks are
// gone. One that makes no sense is an error for all: half the rules may be worse
// than none.
func ParseRules(lines []string) ([]Rule, error) {
	rules := make([]Rule, 0, len(lines))
	for _, line := range lines {
		r, err := parseRule(line)
		if err != nil {
			return nil, &RuleError{line, err}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

const reserved = "&fixsmtpio"

func parseRule(line string) (Rule, error) {
	f := strings.SplitN(line, ":", 6)
	if len(f) < 6 {
		return Rule{}, errFields
	}
	r := Rule{Env: f[0], Event: ascii.ToLower(f[1]), Prepend: f[2], Glob: f[3], Exit: -1, Response: f[5]}
	if r.Event == "" {
		return Rule{}, errEvent
	}
	if r.Glob == "" {
		return Rule{}, errGlob
	}
	if f[4] != "" {
		var ok bool
		if r.Exit, ok = exitCode(f[4]); !ok {
			return Rule{}, errExitCode
		}
	}
	switch {
	case r.Event == clientEOF && r.Response != "":
		return Rule{}, errClientEOF
	case r.Response == reserved+"_noop":
		r.action = noop
	case r.Response == reserved+"_fixup" && hasFixup(r.Event):
		r.action = fixup
	case strings.HasPrefix(r.Response, reserved):
		return Rule{}, errInternal
	}
	return r, nil
}

// exitCode reads the digits that s begins with. Compat(acceptutils): whatever
// follows them means nothing.
func exitCode(s string) (code int, ok bool) {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			break
		}
		if code, ok = code*10+int(c-'0'), true; code > 255 {
			return 0, false
		}
	}
	return code, ok
}
