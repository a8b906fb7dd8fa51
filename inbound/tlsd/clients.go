package tlsd

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"postrider/inbound"
	"postrider/inbound/tlsd/options"
)

// Clients is whether clients are asked for a certificate, and who vouches for
// it.
type Clients struct {
	ask     options.Ask
	anchors []file
}

// LoadClients reads the trust anchors that env names, CADIR or else CAFILE, if
// clients are asked. list gives the names in a directory.
func LoadClients(env inbound.Env, ask options.Ask, read Reader, list func(dir string) ([]string, error)) (*Clients, error) {
	c := &Clients{ask: ask}
	if ask == options.Nothing {
		return c, nil
	}
	if err := c.read(env, read, list); err != nil {
		return nil, &Error{Files, err}
	}
	if ask == options.Demanded && len(c.anchors) == 0 {
		return nil, &Error{Files, errors.New("-y needs CADIR or CAFILE")}
	}
	return c, nil
}

func (c *Clients) read(env inbound.Env, read Reader, list func(dir string) ([]string, error)) error {
	dir := strings.TrimSuffix(env.Get("CADIR"), "/")
	if dir == "" {
		name := env.Get("CAFILE")
		if name == "" {
			return nil
		}
		text, err := read(name)
		c.anchors = []file{{name, text}}
		return err
	}
	names, err := list(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		// A directory may hold links whose targets are gone, and other things.
		if text, err := read(dir + "/" + n); err == nil {
			c.anchors = append(c.anchors, file{dir + "/" + n, text})
		}
	}
	return nil
}

// verify finds a chain from what the client showed to our anchors.
func (c *Clients) verify(shown []*x509.Certificate) error {
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		// Field: public authorities make no certificates for clients any more,
		// and mail servers show what they have.
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	for _, f := range c.anchors {
		certs, err := f.certificates()
		if err != nil {
			continue // of a directory; a CAFILE without any vouches for nobody
		}
		for _, der := range certs {
			if anchor, err := x509.ParseCertificate(der); err == nil {
				o.Roots.AddCert(anchor)
			}
		}
	}
	for _, i := range shown[1:] {
		o.Intermediates.AddCert(i)
	}
	_, err := shown[0].Verify(o)
	return err
}

// auth is how crypto/tls asks; the verdict is ours, by verify.
func (c *Clients) auth() tls.ClientAuthType {
	switch c.ask {
	case options.Optional:
		return tls.RequestClientCert
	case options.Demanded:
		return tls.RequireAnyClientCert
	}
	return tls.NoClientCert
}

// verdict is what the handshake makes of verify's: a certificate that was only
// asked for may be any.
func (c *Clients) verdict(err error) error {
	if c.ask != options.Demanded {
		return nil
	}
	return err
}
