package tlsd

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"postrider/inbound"
)

// Reader is how files are read: os.ReadFile.
type Reader func(name string) ([]byte, error)

// Keys are our certificates and their keys, as files that have been read. They
// are parsed when a client wants them, but the common one at once.
type Keys struct {
	common *tls.Certificate
	named  map[string]files // by name in lower case, or "*.name"
	warn   func(error)
}

// files are those of one certificate.
type files struct{ cert, key file }

// LoadKeys reads what env names:
//
//	CERTFILE, KEYFILE            a certificate with its chain, and its key;
//	                             without KEYFILE the key is in CERTFILE too
//	CERTCHAINFILE                more certificates of the chain
//	CERTFILE:name, KEYFILE:name  the same for clients that ask for name, which
//	                             may begin with "*." (SNI, RFC 6066 §3)
//
// level is that of -k. What is wrong with one of the named is told to warn, and
// it is left out, if there is another certificate to show.
func LoadKeys(env inbound.Env, level int, read Reader, warn func(error)) (*Keys, error) {
	k := &Keys{named: map[string]files{}, warn: warn}
	var errs []error
	if level > 0 {
		errs = k.readNamed(env, read)
	}
	if level < 2 {
		common, err := readCommon(env, read)
		if err == nil {
			k.common = common
		} else if len(k.named) == 0 || env.Get("CERTFILE") != "" {
			return nil, &Error{Files, errors.Join(append(errs, err)...)}
		}
	}
	if k.common == nil && len(k.named) == 0 {
		errs = append(errs, errors.New("no variable CERTFILE:name names a certificate that can be read"))
		return nil, &Error{Files, errors.Join(errs...)}
	}
	for _, err := range errs {
		warn(err)
	}
	return k, nil
}

// readCommon reads and parses the certificate for all names.
func readCommon(env inbound.Env, read Reader) (*tls.Certificate, error) {
	name := env.Get("CERTFILE")
	if name == "" {
		return nil, errors.New("CERTFILE is not set")
	}
	pair, err := readPair(name, env.Get("KEYFILE"), read)
	if err != nil {
		return nil, err
	}
	cert, err := pair.parse()
	if err != nil {
		return nil, err
	}
	if chain := env.Get("CERTCHAINFILE"); chain != "" {
		text, err := read(chain)
		if err != nil {
			return nil, err
		}
		more, err := file{chain, text}.certificates()
		if err != nil {
			return nil, err
		}
		cert.Certificate = append(cert.Certificate, more...)
	}
	return cert, nil
}

// readNamed reads the files of all names.
func (k *Keys) readNamed(env inbound.Env, read Reader) (errs []error) {
	for _, v := range env {
		variable, certFile, _ := strings.Cut(v, "=")
		name, isCert := strings.CutPrefix(variable, "CERTFILE:")
		if !isCert || name == "" {
			continue
		}
		pair, err := readPair(certFile, env.Get("KEYFILE:"+name), read)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		k.named[strings.ToLower(strings.TrimSuffix(name, "."))] = pair
	}
	return errs
}

func readPair(certName, keyName string, read Reader) (files, error) {
	cert, err := read(certName)
	if err != nil {
		return files{}, err
	}
	f := files{file{certName, cert}, file{certName, cert}}
	if keyName != "" && keyName != certName {
		key, err := read(keyName)
		if err != nil {
			return files{}, err
		}
		f.key = file{keyName, key}
	}
	return f, nil
}

// parse makes a certificate of its files, and sees to it that they belong
// together.
func (f files) parse() (*tls.Certificate, error) {
	certs, err := f.cert.certificates()
	if err != nil {
		return nil, err
	}
	key, err := f.key.key()
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(certs[0])
	if err != nil {
		return nil, f.cert.wrong(err.Error())
	}
	public, comparable := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !comparable || !public.Equal(leaf.PublicKey) {
		return nil, f.key.wrong("this key is not that of the first certificate in " + f.cert.name)
	}
	return &tls.Certificate{Certificate: certs, PrivateKey: key, Leaf: leaf}, nil
}

// errNoName is a client whose name has no certificate, where -k 2 wants one.
var errNoName = errors.New("the client asks for a name that has no certificate")

// choose is tls.Config.GetCertificate.
func (k *Keys) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(hello.ServerName)
	f, ok := k.named[name]
	if !ok {
		if _, domain, dots := strings.Cut(name, "."); dots && strings.Contains(domain, ".") {
			f, ok = k.named["*."+domain]
		}
	}
	if ok {
		cert, err := f.parse()
		if err == nil || k.common == nil {
			return cert, err
		}
		k.warn(err)
	}
	if k.common == nil {
		return nil, errNoName
	}
	return k.common, nil
}
