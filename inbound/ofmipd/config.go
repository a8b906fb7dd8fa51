package ofmipd

import (
	"errors"

	"postrider/inbound"
	"postrider/internal/constmap"
	"postrider/internal/control"
	"postrider/internal/mess822"
)

// config is what the control files and the environment say. It is read once and
// holds for the session.
type config struct {
	greeting string
	rules    mess822.Rules
	idhost   string
	smtputf8 bool
	names    *constmap.Plain // who writes as whom; nil without one

	remoteIP   string
	remoteInfo string
	hasInfo    bool
}

var errNoGreeting = errors.New("ofmipd: neither control/smtpgreeting nor control/me")

// load reads the control files of a qmail home, the environment, and the file
// made by ofmipname(8), if there is a name of one.
func load(home string, env inbound.Env, names string) (*config, error) {
	files := control.Read(control.Dir(home))
	c := &config{}
	var named bool
	if c.greeting, named = files.LineOrMe("control/smtpgreeting"); !named && files.Err() == nil {
		return nil, errNoGreeting
	}
	// host is the value of a variable, or a control file, or the literal that
	// shows in a message what was left out. Compat(qmail).
	host := func(variable, file, literal string) string {
		if value, set := env.Lookup(variable); set {
			return value
		}
		if value, there := files.LineOrMe("control/" + file); there {
			return value
		}
		return literal
	}
	c.idhost = host("QMAILIDHOST", "idhost", "IDHOST")
	if lines, there := files.List("control/rewrite"); there {
		c.rules = mess822.ParseRules(lines)
	} else {
		c.rules = mess822.DefaultRules(
			host("QMAILDEFAULTHOST", "defaulthost", "DEFAULTHOST"),
			host("QMAILDEFAULTDOMAIN", "defaultdomain", "DEFAULTDOMAIN"),
			host("QMAILPLUSDOMAIN", "plusdomain", "PLUSDOMAIN"))
	}
	c.smtputf8 = files.Number("control/smtputf8", 0) != 0
	if err := files.Err(); err != nil {
		return nil, err
	}
	c.remoteIP = "unknown"
	if ip, set := env.Lookup("TCPREMOTEIP"); set {
		c.remoteIP = ip
	}
	c.remoteInfo, c.hasInfo = env.Lookup("TCPREMOTEINFO")
	if names == "" {
		return c, nil
	}
	var err error
	c.names, err = constmap.OpenPlain(names)
	return c, err
}
