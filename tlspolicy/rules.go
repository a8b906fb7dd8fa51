package tlspolicy

import (
	"errors"
	"io/fs"
	"strconv"
	"strings"
)

// Config is the TLS side of the control files: plain data, already read.
type Config struct {
	Home         string   // what relative paths are relative to; "" leaves them alone
	Anchors      string   // trustanchors
	Strictness   int      // tlsstrictness: 0, 1, 2
	ClientCert   string   // clientcert
	ClientKey    string   // clientkey; "" means that ClientCert holds the key too
	Destinations []string // lines of tlsdestinations, without comments
	DomainCerts  []string // lines of domaincerts, without comments
	Hosts        fs.FS    // the directory control/, for tlshosts and notlshosts; nil: there are none
}

// TLSAStatus is what a DNS search for TLSA records came to. A search that
// failed has none: such a host is skipped, never decided on (RFC 7672 §2.1.2).
type TLSAStatus uint8

const (
	NoTLSA    TLSAStatus = iota // not asked, denied with authentication, or insecure
	TLSAFound                   // authenticated records, usable or not
)

// Destination is what is known of a server before it is spoken to.
type Destination struct {
	Domain string // the recipient's domain, or ""
	Relay  string // the relay of the route, or ""
	Host   string // the exchanger's name, A-labels; "" for an address literal
	Port   uint16 // that the route or the protocol says
	Sender string // the envelope sender

	TLSAStatus TLSAStatus
	TLSA       []TLSA   // the records, unjudged
	TLSABase   string   // the name whose records these are
	DANENames  []string // reference names beside Host and TLSABase; nil: the next hop
}

// Rules is a Config understood: made once, read by many, never changed.
type Rules struct {
	cfg          Config
	destinations map[string][]demand // by sigil and name, see destinations.go
	certs        map[string]clientCert
	hosts        map[string]map[string]bool // names in tlshosts and notlshosts, as far as Hold has listed them
	complaints   []string
}

// demand is what one source asks for a destination.
type demand struct {
	mode   Mode
	source string // file and key, for errors
	err    error  // the line is legible as to whom it is about, and no further

	final     bool // names whom to believe, or forbids TLS: DNS has no say in it
	wildcards bool
	chainOnly bool
	common    bool
	prefer    bool
	anchors   string
	digest    []byte

	ciphers  string
	depth    int
	port     uint16
	implicit bool
	sender   string // only mail from this domain
}

// New understands a Config. Lines that say nothing sensible are remembered for
// Complaints: one that does not even say whom it is about is left out, any
// other makes Decide fail for its own destinations, as less protection than
// the administrator asked for is no answer.
func New(c Config) *Rules {
	r := &Rules{cfg: c}
	r.cfg.Anchors = r.abs(c.Anchors)
	r.cfg.ClientCert, r.cfg.ClientKey = r.abs(c.ClientCert), r.abs(c.ClientKey)
	r.parseDestinations(c.Destinations)
	r.parseCerts(c.DomainCerts)
	return r
}

// Complaints are the lines that were not understood, each naming its file.
func (r *Rules) Complaints() []string { return r.complaints }

// abs is a path as seen from anywhere. A final slash stays: it says "directory".
func (r *Rules) abs(name string) string {
	if name == "" || r.cfg.Home == "" || strings.HasPrefix(name, "/") {
		return name
	}
	return strings.TrimSuffix(r.cfg.Home, "/") + "/" + name
}

// Decide gives the policy for a destination. It reads nothing but the presence
// of files in tlshosts and notlshosts. An error is Local and names the control
// file at fault: the delivery must be deferred.
//
// Between sources the specific beats the general (a line of tlsdestinations for
// this destination and the host's own file come before "*" lines, and those
// before tlsstrictness), and between equals the strictest wins. Usable TLSA
// records replace all but a fingerprint, anchors of the destination's own, and
// an explicit "no TLS". MTA-STS (RFC 8461) belongs behind DANE, and REQUIRETLS
// (RFC 8689) raises the floor at the same place.
func (r *Rules) Decide(d Destination) (Policy, error) {
	d = d.canonical()
	a, err := r.demandFor(d)
	if err != nil {
		return Policy{}, &Error{Local, err}
	}
	p := a.policy(d)
	if p.Mode == None {
		return p, nil
	}
	if !a.final && d.TLSAStatus == TLSAFound {
		p = underDANE(p, d)
	}
	if p.Mode == Verify {
		if p.Anchors == "" {
			p.Anchors = r.cfg.Anchors
		}
		if p.Anchors == "" {
			return Policy{}, &Error{Local, errors.New(a.source + ": no trust anchors to verify against")}
		}
	}
	if err := r.addClientCert(&p, d.Sender); err != nil {
		return Policy{}, &Error{Local, err}
	}
	return p, nil
}

// WantsTLSA says whether TLSA records can make a difference for a destination:
// not where TLS is off, nor where a pin has settled whom to believe. On an
// error of Decide's it says no.
func (r *Rules) WantsTLSA(d Destination) bool {
	a, err := r.demandFor(d.canonical())
	return err == nil && a.mode != None && !a.final
}

// Port is the port that tlsdestinations asks for this destination, 0 for none.
// TLSA records are to be looked up at that port.
func (r *Rules) Port(d Destination) uint16 {
	if a, _ := r.lookup(d.canonical()); a != nil {
		return a.port
	}
	return 0
}

// demandFor finds the source that decides. The port, ciphers and depth of a
// tlsdestinations line hold even when a host's file has the last word.
func (r *Rules) demandFor(d Destination) (demand, error) {
	rule, specific := r.lookup(d)
	if rule != nil && rule.err != nil {
		return demand{}, rule.err
	}
	file, listed, err := r.hostFile(d)
	if err != nil {
		return demand{}, err
	}
	var a demand
	switch {
	case specific && file != nil:
		a = *stricter(rule, file)
	case file != nil:
		a = *file
	case rule != nil:
		a = *rule
	case !listed && r.cfg.Strictness < 2:
		a = demand{mode: None, source: "control/tlshosts/exhaustivelist"}
	default:
		if a, err = r.byStrictness(); err != nil {
			return demand{}, err
		}
	}
	if rule != nil {
		a.ciphers, a.depth, a.port, a.implicit = rule.ciphers, rule.depth, rule.port, rule.implicit
	}
	return a.implied(d.Port), nil
}

// implied is a demand once the port is looked at: 465 is SMTP and 6209 QMTP
// under TLS from the first byte (RFC 8314 §3.3), and whoever wrote such a port
// into a route asked for TLS, unless a rule forbids it outright.
func (a demand) implied(port uint16) demand {
	if a.port != 0 {
		port = a.port
	}
	a.implicit = a.implicit || port == 465 || port == 6209
	if a.mode == None && a.final {
		a.implicit = false
	}
	if a.implicit {
		a.mode, a.prefer = max(a.mode, Encrypt), false
	}
	return a
}

// policy is a demand as a Policy for d, before DANE and our own certificate.
func (a demand) policy(d Destination) Policy {
	p := Policy{Mode: a.mode, Port: a.port}
	if a.mode == None {
		return p
	}
	p.ServerName = serverName(d.Host)
	p.Implicit, p.PreferTLS, p.Ciphers = a.implicit, a.prefer, a.ciphers
	switch a.mode {
	case Verify:
		p.Anchors, p.Depth = a.anchors, a.depth
		p.Wildcards, p.ChainOnly, p.CommonName = a.wildcards, a.chainOnly, a.common
		if !a.chainOnly {
			p.Names = d.verifiedNames()
		}
	case Fingerprint:
		p.Digest = a.digest
	}
	return p
}

// stricter is the one of two equally specific demands that asks for more.
func stricter(a, b *demand) *demand {
	if b.mode > a.mode || b.mode == a.mode && b.final && !a.final {
		return b
	}
	return a
}

// byStrictness is what trustanchors and tlsstrictness ask for everybody.
func (r *Rules) byStrictness() (demand, error) {
	a := demand{source: "control/tlsstrictness"}
	switch r.cfg.Strictness {
	case 0, 1:
		if r.cfg.Anchors != "" { // Compat(skarnet): no anchors, no STARTTLS
			a.mode, a.prefer = Opportunistic, r.cfg.Strictness == 1
		}
	case 2:
		// Without anchors this cannot be kept, and cleartext is the one thing
		// that was not asked for.
		if r.cfg.Anchors == "" {
			return a, errors.New("control/tlsstrictness: 2 needs trustanchors")
		}
		a.mode, a.wildcards = Verify, true
	default:
		return a, errors.New("control/tlsstrictness: " + strconv.Itoa(r.cfg.Strictness) + " is not 0, 1 or 2")
	}
	return a, nil
}
