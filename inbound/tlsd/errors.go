package tlsd

// Kind is what went wrong, for the exit code.
type Kind uint8

const (
	Files     Kind = iota // a key, certificate or trust anchor cannot be used
	Authority             // the rights that we have cannot be given up
	Talk                  // the peer, or what it says
)

// Error is a failure of a Kind.
type Error struct {
	Kind Kind
	Err  error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }
