package authup

import (
	"io/fs"
	"time"

	"postrider/internal/control"
)

// Protocol is what is spoken to the client.
type Protocol uint8

const (
	SMTP Protocol = iota
	POP3
)

func (p Protocol) String() string {
	switch p {
	case SMTP:
		return "smtp"
	case POP3:
		return "pop3"
	}
	panic("authup: no such protocol")
}

// Config is how one session is to go.
type Config struct {
	Protocol     Protocol
	Popup        bool     // Compat(qmail): as qmail-popup, whose texts are bare and whose exit code is 1
	Greeting     string   // our name, as the client hears it
	Capabilities []string // what the program behind checkpassword can do; shown to EHLO and CAPA
	Patience     time.Duration
	Tries        int      // attempts that may fail; 0 is the protocol's own number
	Command      []string // checkpassword, its arguments, the program behind it
	Dir          string   // where Command begins; "": where we are

	// Refusal is how long after an attempt began its refusal is sent, at the
	// least: it slows down guessing, and hides how soon checkpassword knew (a
	// user that does not exist, say).
	Refusal time.Duration
}

// Load reads the control files of protocol p below home. The error is the first
// that could not be read, or that must be there and is not.
func Load(home fs.FS, p Protocol) (Config, error) {
	f := control.Read(home)
	c := Config{Protocol: p}
	greeting, timeout, capabilities := "control/smtpgreeting", "control/timeoutsmtpd", "control/smtpcapabilities"
	if p == POP3 {
		greeting, timeout, capabilities = "control/pop3greeting", "control/timeoutpop3d", "control/pop3capabilities"
	}
	var named, able bool
	c.Greeting, named = f.LineOrMe(greeting)
	c.Patience = time.Duration(max(f.Number(timeout, 1200), 1)) * time.Second
	c.Capabilities, able = f.List(capabilities)
	switch {
	case f.Err() != nil:
		return c, f.Err()
	case !named:
		return c, &control.Error{File: greeting, Err: fs.ErrNotExist}
	case !able:
		return c, &control.Error{File: capabilities, Err: fs.ErrNotExist}
	}
	return c, nil
}

// LoadPopup is the Config of qmail-popup, which is told its name and needs no
// control files. Capabilities are shown where there are any.
func LoadPopup(home fs.FS, greeting string) (Config, error) {
	f := control.Read(home)
	c := Config{Protocol: POP3, Popup: true, Greeting: greeting, Patience: 1200 * time.Second, Tries: 1}
	c.Capabilities, _ = f.List("control/pop3capabilities")
	return c, f.Err()
}

// tries is how many attempts may fail.
func (c *Config) tries() int {
	switch {
	case c.Tries > 0:
		return c.Tries
	case c.Protocol == POP3:
		return 1
	}
	return 5
}
