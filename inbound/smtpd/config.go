package smtpd

import (
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"time"

	"postrider/inbound"
	"postrider/internal/ascii"
	"postrider/internal/constmap"
	"postrider/internal/control"
)

// config is what the control files and the environment say. It is read once and
// holds for the session.
type config struct {
	greeting    string
	timeout     time.Duration
	localIPHost string // what stands for our own addresses; "" when nothing does
	databytes   uint64 // 0: no limit
	smtputf8    bool
	badSenders  constmap.Map[struct{}]
	rcpts       rcptHosts

	relay      string // appended to each recipient
	mayRelay   bool
	remoteIP   string
	remoteHost string
	remoteInfo string
	hasInfo    bool
	local      string
	underTLS   bool // from the first byte, or by a program above: no STARTTLS of ours
}

var errNoGreeting = errors.New("smtpd: neither control/smtpgreeting nor control/me")

// load reads the control files of a qmail home, and the environment.
func load(home string, env inbound.Env) (*config, error) {
	files := control.Read(control.Dir(home))
	c := &config{}
	var named bool
	if c.greeting, named = files.LineOrMe("control/smtpgreeting"); !named && files.Err() == nil {
		return nil, errNoGreeting
	}
	c.localIPHost, _ = files.LineOrMe("control/localiphost")
	c.timeout = time.Duration(max(1, files.Number("control/timeoutsmtpd", 1200))) * time.Second
	c.databytes = uint64(files.Number("control/databytes", 0))
	c.smtputf8 = files.Number("control/smtputf8", 0) != 0
	bad, _ := files.List("control/badmailfrom")
	for _, sender := range bad {
		c.badSenders.Set(sender, struct{}{})
	}
	var hosts []string
	hosts, c.rcpts.limited = files.List("control/rcpthosts")
	for _, host := range hosts {
		c.rcpts.list.Set(host, struct{}{})
	}
	if err := files.Err(); err != nil {
		return nil, err
	}
	c.environment(env)
	return c, c.rcpts.open(filepath.Join(home, "control/morercpthosts.cdb"))
}

func (c *config) environment(env inbound.Env) {
	if limit, set := env.Lookup("DATABYTES"); set {
		c.databytes = number(limit)
	}
	c.relay, c.mayRelay = env.Lookup("RELAYCLIENT")
	c.remoteInfo, c.hasInfo = env.Lookup("TCPREMOTEINFO")
	c.remoteIP = first(env, "TCPREMOTEIP")
	c.remoteHost = first(env, "TCPREMOTEHOST")
	c.local = first(env, "TCPLOCALHOST", "TCPLOCALIP")
	c.underTLS = env.Get("SSL_PROTOCOL") != ""
}

// first is the value of the first of the variables that is set, or "unknown".
func first(env inbound.Env, names ...string) string {
	for _, name := range names {
		if value, set := env.Lookup(name); set {
			return value
		}
	}
	return "unknown"
}

// number is the decimal digits that s begins with, 0 without any. What is too
// large for it is the largest.
func number(s string) uint64 {
	n := uint64(0)
	for i := 0; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		digit := uint64(s[i] - '0')
		if n > (math.MaxUint64-digit)/10 {
			return math.MaxUint64
		}
		n = n*10 + digit
	}
	return n
}

// rcptHosts is control/rcpthosts and control/morercpthosts.cdb.
type rcptHosts struct {
	limited bool // there is a list, be it empty
	list    constmap.Map[struct{}]
	more    *constmap.Plain // nil without one
}

// open opens the cdb file, if there is one and a list that it adds to.
func (r *rcptHosts) open(name string) error {
	if !r.limited {
		return nil
	}
	more, err := constmap.OpenPlain(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	r.more = more
	return err
}

// allow reports whether mail to an address is taken: whether what stands after
// its last "@", or a part of that from a dot on, is listed. An address without
// "@" is local.
func (r *rcptHosts) allow(address string) (bool, error) {
	host, remote := domain(address)
	if !r.limited || !remote {
		return true, nil
	}
	if host == "" {
		return false, nil
	}
	host = ascii.ToLower(host)
	for suffix := range constmap.Suffixes(host, ".") {
		if _, listed := r.list.Lookup(suffix); listed {
			return true, nil
		}
	}
	if r.more == nil {
		return false, nil
	}
	for suffix := range constmap.Suffixes(host, ".") {
		if _, listed, err := r.more.Get([]byte(suffix)); listed || err != nil {
			return err == nil, err
		}
	}
	return false, nil
}
