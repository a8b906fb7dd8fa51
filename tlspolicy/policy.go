package tlspolicy

// String is the mode's name, as it stands in a policy's text.
func (m Mode) String() string {
	switch m {
	case None:
		return "none"
	case Opportunistic:
		return "opportunistic"
	case Encrypt:
		return "encrypt"
	case Verify:
		return "verify"
	case Fingerprint:
		return "fingerprint"
	case DANE:
		return "dane"
	case STS:
		return "sts"
	}
	return "unknown"
}

// Required says that without TLS, as the policy wants it, there is no delivery
// to this address.
func (p Policy) Required() bool { return p.Mode >= Encrypt }

// MayPlain says that the message may go in cleartext when TLS is not offered
// or does not come about.
func (p Policy) MayPlain() bool { return !p.Required() && !p.Implicit }

// Files are those, and directories, that a handshake under p reads.
func (p Policy) Files() []string {
	var all []string
	if p.Cert != "" {
		all = append(all, p.Cert)
	}
	if p.Key != "" && p.Key != p.Cert {
		all = append(all, p.Key)
	}
	if p.Mode == Verify || p.Mode == STS {
		all = append(all, p.Anchors)
	}
	return all
}

// What is the kind of a TLS failure.
type What string

const (
	// Handshake: no TLS came about; the peer's doing, or the network's.
	Handshake What = "handshake"
	// PKIX: the certificate does not chain to the anchors, or has another name.
	PKIX What = "pkix"
	// Pinned: the certificate is not the one of the fingerprint.
	Pinned What = "fingerprint"
	// DANEMismatch: no TLSA record matches.
	DANEMismatch What = "dane"
	// Local: our own files or settings; no other server would fare better.
	Local What = "local"
)

// Error is why there is no TLS. Decide's errors and those of Secure are all of
// this type; Local is for the conductor to defer on at once.
type Error struct {
	What What
	Err  error
}

func (e *Error) Error() string { return string(e.What) + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }
