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

// TLSA is one usable TLSA record: usage 2 or 3, selector 0 or 1, matching 0 to 2.
type TLSA struct {
	Usage, Selector, Matching uint8
	Data                      []byte
}

// Policy is what one connection must do about TLS. It is a plain value, made by
// Config.Decide, carried to ucspi-tlsc as text (MarshalText), and never changed.
type Policy struct {
	Mode       Mode
	ServerName string   // SNI (RFC 6066 §3); empty sends none
	Names      []string // reference names for Verify, STS, and DANE usage 2
	Wildcards  bool     // "*.example" in a certificate matches a name
	ChainOnly  bool     // Verify the chain and not the name
	Anchors    string   // PEM file, or a hashed directory when it ends in "/"
	Digest     []byte   // of the certificate, for Fingerprint: SHA-1, 224, 256 or 512 by length
	TLSA       []TLSA
	Implicit   bool   // TLS from the first byte (RFC 8314 §3.3)
	Ciphers    string // names of TLS 1.2 suites, ":"-separated; empty is Go's choice
	Depth      int    // longest chain, 0 is no limit
	Cert       string // client certificate, PEM file; sent when asked for
	Key        string // its key, PEM file
	KeyPass    string // its password
}
