package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"time"

	"postrider/internal/dnstest"
	"postrider/internal/sink"
)

// order is what a host is told.
type order struct {
	Do string // serve, hold, held, release, ledger, digest, resolve, asked, discard

	Addr  string        // serve, resolve, discard: where
	Mode  mode          // serve
	Late  time.Duration // serve: before each flight of replies
	Zone  dnstest.Zone  // resolve
	Delay time.Duration // resolve: before each answer
}

// heard is what a host answers.
type heard struct {
	Addr     string   // serve, resolve, discard: where it is really
	N        int      // held, asked: how many
	Digest   string   // of the server's key, as in TLSA 3 1 1
	Messages []letter // ledger: since it was last asked
}

// letter is a message in the ledger.
type letter struct {
	From string
	TLS  bool
}

// host serves mail, or names, on one side of the network. Orders come one at a
// time; only the ledger and the gate are shared with sessions.
type host struct {
	cert   tls.Certificate
	mail   *sink.Server
	names  *dnstest.Server
	before int // questions asked when last told

	mu     sync.Mutex
	ledger []letter      // under mu
	held   int           // under mu
	gate   chan struct{} // under mu; not nil: messages wait for it to close
}

func (h *host) obey(in io.Reader, out io.Writer) error {
	var err error
	if h.cert, err = certificate(); err != nil {
		return err
	}
	return serve(in, out, h.do)
}

func (h *host) do(o order) (heard, error) {
	switch o.Do {
	case "serve":
		return h.serve(o)
	case "resolve":
		return h.resolve(o)
	case "discard":
		return discard(o.Addr)
	case "digest":
		return heard{Digest: keyDigest(h.cert)}, nil
	case "asked":
		n := h.names.Asked() - h.before
		h.before += n
		return heard{N: n}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	switch o.Do {
	case "hold":
		h.held, h.gate = 0, make(chan struct{})
	case "held":
		return heard{N: h.held}, nil
	case "release":
		close(h.gate)
		h.gate = nil
	case "ledger":
		l := h.ledger
		h.ledger = nil
		return heard{Messages: l}, nil
	default:
		return heard{}, fmt.Errorf("no order %q", o.Do)
	}
	return heard{}, nil
}

// serve starts a sink in place of the last one.
func (h *host) serve(o order) (heard, error) {
	if h.mail != nil {
		h.mail.Close()
	}
	l, err := net.Listen("tcp", o.Addr)
	if err != nil {
		return heard{}, err
	}
	c := sink.Config{Chunking: o.Mode.Chunking, Lockstep: o.Mode.Lockstep, Delay: o.Late, Took: h.took}
	if o.Mode.TLS {
		c.TLS = &tls.Config{Certificates: []tls.Certificate{h.cert}}
	}
	h.mail = sink.Serve(l, c)
	return heard{Addr: l.Addr().String()}, nil
}

func (h *host) took(m sink.Message) {
	h.mu.Lock()
	h.ledger = append(h.ledger, letter{m.From, m.TLS != ""})
	h.held++
	gate := h.gate
	h.mu.Unlock()
	if gate != nil {
		<-gate
	}
}

// resolve starts a DNS server in place of the last one.
func (h *host) resolve(o order) (heard, error) {
	if h.names != nil {
		h.names.Close()
	}
	h.before = 0
	var err error
	h.names, err = dnstest.Serve(o.Addr, o.Zone, dnstest.Options{Delay: o.Delay})
	if err != nil {
		return heard{}, err
	}
	return heard{Addr: h.names.Addr().String()}, nil
}

// discard reads whatever comes to addr, and closes when the other side does; it
// ends with the process.
func discard(addr string) (heard, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return heard{}, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				buf := make([]byte, 16<<10) // as much as the sink reads
				for {
					if _, err := c.Read(buf); err != nil {
						c.Close()
						return
					}
				}
			}()
		}
	}()
	return heard{Addr: l.Addr().String()}, nil
}

// certificate makes a self-signed one for all exchangers.
func certificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"*." + domain},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}

func keyDigest(c tls.Certificate) string {
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		panic("deliveries: our own certificate: " + err.Error())
	}
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
