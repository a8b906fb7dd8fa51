package control

import (
	"net/netip"
	"time"
)

// Snapshot is what the control files said when it was taken. It is never
// written again: a delivery keeps the one that it began with.
//
// smtproutes is not here: routes reads it through its cdb.
type Snapshot struct {
	Me             string        // me, first line; may be empty if helohost is not
	HeloHost       string        // helohost, default me; never empty
	TimeoutConnect time.Duration // timeoutconnect, default 60 s
	TimeoutRemote  time.Duration // timeoutremote, default 1200 s
	TimeoutDNS     time.Duration // timeoutdns, default 0: the resolver's own retries bound it
	IPMe           []netip.Addr  // ipme, unmapped; to be added to those of the interfaces

	TrustAnchors string // trustanchors; ends in "/": a hashed directory; "" is no STARTTLS
	ClientCert   string // clientcert, the path that it names; default control/clientcert.pem if that exists
	ClientKey    string // clientkey, the path that it names; default ClientCert
	Strictness   int    // tlsstrictness: 0, 1 or 2

	// Lines of the list files, comments and blanks removed, for their owners to parse.
	AuthSenders     []string
	DomainIPs       []string
	DomainCerts     []string
	QMTPRoutes      []string
	TLSDestinations []string
}
