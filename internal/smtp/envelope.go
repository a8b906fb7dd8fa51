package smtp

// Envelope is who a message is from and for, as qmail gives it: bare addresses,
// no brackets, sender "" for a bounce and "#@[]" for a double bounce.
type Envelope struct {
	Sender string
	Rcpts  []string
	// ASCII is the same envelope with every domain as A-labels, or nil when
	// that is no different or a local part needs SMTPUTF8 all the same.
	ASCII *Envelope
}

// Extensions is what a server offers (RFC 5321 §4.1.1.1); the zero value is a
// server that was greeted with HELO.
type Extensions struct {
	ESMTP        bool
	StartTLS     bool
	Pipelining   bool
	EightBitMIME bool
	SMTPUTF8     bool
	Chunking     bool
	RequireTLS   bool
	HasSize      bool
	Size         uint64   // largest message; 0 is no stated limit (RFC 1870 §4)
	Auth         []string // SASL mechanisms, upper case, in the server's order
}
