package tlspolicy

import (
	"errors"
	"strconv"
	"strings"
)

const certsFile = "control/domaincerts"

// clientCert is our own certificate for a sender's domain.
type clientCert struct {
	cert, key, password string
	err                 error
}

// parseCerts reads lines of the form
//
//	senderdomain:cert|key|password
//
// where key may be empty (it is in the file of the certificate), and the
// password is the rest of the line, whatever is in it.
func (r *Rules) parseCerts(lines []string) {
	r.certs = make(map[string]clientCert, len(lines))
	for _, line := range lines {
		line = strings.TrimRight(line, " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		domain, value, found := strings.Cut(line, ":")
		domain = strings.ToLower(strings.TrimSpace(domain))
		if !found {
			// Which part of this would be a password is anybody's guess.
			r.complaints = append(r.complaints, certsFile+": a line without a colon")
			continue
		}
		if domain == "" {
			domain = "*"
		}
		f := strings.SplitN(value, "|", 3)
		f = append(f, "", "")
		c := clientCert{cert: r.abs(f[0]), key: r.abs(f[1]), password: f[2]}
		if f[0] == "" {
			c.err = errors.New(certsFile + ": " + strconv.QuoteToASCII(domain) + ": no certificate")
			r.complaints = append(r.complaints, c.err.Error())
		}
		r.certs[domain] = c
	}
}

// addClientCert gives p the certificate of the sender's domain, of "*", or of
// clientcert, the first that there is.
func (r *Rules) addClientCert(p *Policy, sender string) error {
	c, ok := r.certFor(senderDomain(sender))
	if !ok {
		c = clientCert{cert: r.cfg.ClientCert, key: r.cfg.ClientKey}
	}
	if c.err != nil {
		return c.err
	}
	p.Cert, p.Key, p.KeyPass = c.cert, c.key, c.password
	if p.Key == "" {
		p.Key = p.Cert
	}
	return nil
}

func (r *Rules) certFor(domain string) (c clientCert, ok bool) {
	if len(r.certs) == 0 {
		return clientCert{}, false
	}
	if suffixes(domain, func(suffix string) bool { c, ok = r.certs[suffix]; return ok }) {
		return c, true
	}
	c, ok = r.certs["*"]
	return c, ok
}
