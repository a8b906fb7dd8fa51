package authup

import (
	"bytes"
	"encoding/base64"
	"errors"
)

// credential is a name and a password, in memory that is wiped.
type credential struct {
	user, pass []byte
}

func (c *credential) wipe() {
	clear(c.user)
	clear(c.pass)
}

// Ends of an exchange without a credential; they cost no attempt.
var (
	errMalformed = errors.New("malformed auth input")
	errCancelled = errors.New("auth exchange cancelled")
)

// decode gives what base64 text says, in new memory. Text is strict (RFC 4648
// §3.2, §3.3, §3.5): padding must be there, nothing else may be. A "*" alone
// cancels the exchange (RFC 4954 §4).
func decode(text []byte) ([]byte, error) {
	if len(text) == 1 && text[0] == '*' {
		return nil, errCancelled
	}
	if bytes.IndexByte(text, '\r') >= 0 || bytes.IndexByte(text, '\n') >= 0 {
		return nil, errMalformed // what encoding/base64 would skip
	}
	plain := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Strict().Decode(plain, text)
	if err != nil {
		clear(plain)
		return nil, errMalformed
	}
	return plain[:n], nil
}

// split takes the message of PLAIN apart (RFC 4616 §2): authzid NUL authcid NUL
// password, of which the first is ignored. The credential keeps the memory.
func (c *credential) split(message []byte) error {
	parts := bytes.Split(message, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 {
		clear(message)
		return errMalformed
	}
	clear(parts[0])
	c.user, c.pass = parts[1], parts[2]
	return nil
}

// word is one answer of LOGIN: something, and no NUL, which checkpassword would
// take for its end.
func word(text []byte) ([]byte, error) {
	w, err := decode(text)
	if err != nil {
		return nil, err
	}
	if len(w) == 0 || bytes.IndexByte(w, 0) >= 0 {
		clear(w)
		return nil, errMalformed
	}
	return w, nil
}

// prompt says a challenge and gives the answer to it.
func (s *session) prompt(challenge string) ([]byte, error) {
	s.conn.Say("334 ", challenge)
	return s.line()
}

// given turns an initial response into what the challenge would have brought: a
// lone "=" is an empty one (RFC 4954 §4).
func given(initial []byte) []byte {
	if len(initial) == 1 && initial[0] == '=' {
		return nil
	}
	return initial
}

// plain is AUTH PLAIN. Without an initial response the challenge is empty.
func (s *session) plain(who *credential, initial []byte) error {
	text := given(initial)
	if len(initial) == 0 {
		var err error
		if text, err = s.prompt(""); err != nil {
			return err
		}
	}
	message, err := decode(text)
	if err != nil {
		return err
	}
	return who.split(message)
}

// login is AUTH LOGIN: "Username:", then "Password:", both in base64. An initial
// response is the name.
func (s *session) login(who *credential, initial []byte) error {
	text := given(initial)
	var err error
	if len(initial) == 0 {
		if text, err = s.prompt("VXNlcm5hbWU6"); err != nil {
			return err
		}
	}
	if who.user, err = word(text); err != nil {
		return err
	}
	if text, err = s.prompt("UGFzc3dvcmQ6"); err != nil {
		return err
	}
	who.pass, err = word(text)
	return err
}
