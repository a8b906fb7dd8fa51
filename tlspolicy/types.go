package tlspolicy

// Mode is how much protection a destination gets, weakest first.
type Mode uint8

const (
	None          Mode = iota // never STARTTLS
	Opportunistic             // STARTTLS if it works, any certificate; else cleartext
	Encrypt                   // TLS or nothing, any certificate
	Verify                    // TLS, a chain to Anchors, and Names unless ChainOnly
	Fingerprint               // TLS, and that very certificate
	DANE                      // TLS, and one of TLSA matches (RFC 7672)
	STS                       // TLS, PKIX against Anchors and Names (RFC 8461)
)

// TLSA is one TLSA record (RFC 6698 §2.1); Usable says whether it counts.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Policy is what one connection must do about TLS. It is a plain value, made by
// Rules.Decide, carried to ucspi-tlsc as text (MarshalText), and never changed.
type Policy struct {
	Mode       Mode
	ServerName string   // SNI (RFC 6066 §3); empty sends none
	Names      []string // reference names for Verify, STS, and DANE usage 2
	Wildcards  bool     // "*.example" in a certificate matches a name
	ChainOnly  bool     // Verify the chain and not the name
	CommonName bool     // a certificate without a dNSName is known by its CN (RFC 6125 §6.4.4)
	Anchors    string   // PEM file, or a hashed directory when it ends in "/"
	Digest     []byte   // of the certificate, for Fingerprint: SHA-1, 224, 256 or 512 by length
	TLSA       []TLSA
	Port       uint16 // that tlsdestinations asks for; 0 leaves the destination's own
	Implicit   bool   // TLS from the first byte (RFC 8314 §3.3)
	PreferTLS  bool   // Opportunistic: servers that complete TLS first, cleartext in a second pass
	Ciphers    string // names of TLS 1.2 suites, ":"-separated; empty is our choice
	Depth      int    // most CA certificates between the server's and the anchor, 0 is no limit
	Cert       string // client certificate, PEM file; sent when asked for
	Key        string // its key, PEM file
	KeyPass    string // its password
}

// Info is what a handshake came to.
type Info struct {
	Version  string // "TLSv1.3"
	Cipher   string // IANA name, "TLS_AES_128_GCM_SHA256"
	Verified string // "no", "pkix" (anchors, or the fingerprint of a rule), "dane", "sts"
	SNI      string // the name that was sent, or ""
	Peer     []byte // the server's own certificate, DER
}

// Session is the chance of one handshake to resume an earlier one's session.
type Session struct {
	// Key holds all that the meaning of the session depends on, the policy among it.
	Key string
	// Afresh says that a resumption has failed: nothing is to be resumed now.
	Afresh bool
	// Offered is set by a handshake that asked the server to resume, successfully
	// or not.
	Offered bool
}
