package smtpc

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"

	"github.com/emersion/go-sasl"
)

// Bounds of the iteration count. Fewer than RFC 7677 §4 allows would let
// somebody who plays the server guess the password from our proof at leisure;
// more would let him keep us busy: a million takes about half a second.
const (
	minIterations = 4096
	maxIterations = 1_000_000
)

var errSCRAM = errors.New("scram: malformed message from the server")

// scram is the client of SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel
// binding. User and password go as they are: SASLprep changes no ASCII.
type scram struct {
	user, password string
	nonce          string
	step           int
	signature      []byte // what proves the server
	verified       bool
}

func newSCRAM(user, password string) *scram {
	return &scram{user: user, password: password, nonce: rand.Text()}
}

// bare is client-first-message-bare (RFC 5802 §7).
func (s *scram) bare() string {
	user := strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s.user)
	return "n=" + user + ",r=" + s.nonce
}

func (s *scram) Start() (string, []byte, error) {
	return "SCRAM-SHA-256", []byte("n,," + s.bare()), nil
}

func (s *scram) Next(challenge []byte) ([]byte, error) {
	s.step++
	switch s.step {
	case 1:
		return s.final(string(challenge))
	case 2:
		return s.verify(string(challenge))
	}
	return nil, sasl.ErrUnexpectedServerChallenge
}

// final answers server-first-message with client-final-message.
func (s *scram) final(first string) ([]byte, error) {
	nonce, salt, iterations, err := s.parse(first)
	if err != nil {
		return nil, err
	}
	salted, err := pbkdf2.Key(sha256.New, s.password, salt, iterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	final := "c=biws,r=" + nonce // "biws" is "n,," in base64
	message := s.bare() + "," + first + "," + final
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	proof := make([]byte, len(key))
	subtle.XORBytes(proof, key, mac(stored[:], message))
	s.signature = mac(mac(salted, "Server Key"), message)
	return []byte(final + ",p=" + base64.StdEncoding.EncodeToString(proof)), nil
}

// parse takes "r=…,s=…,i=…" apart; extensions may follow, but for the
// mandatory ones, which stand first and are refused so.
func (s *scram) parse(first string) (nonce string, salt []byte, iterations int, err error) {
	f := strings.Split(first, ",")
	if len(f) < 3 || !strings.HasPrefix(f[0], "r=") || !strings.HasPrefix(f[1], "s=") || !strings.HasPrefix(f[2], "i=") {
		return "", nil, 0, errSCRAM
	}
	nonce = f[0][2:]
	if !strings.HasPrefix(nonce, s.nonce) || nonce == s.nonce {
		return "", nil, 0, errors.New("scram: the server's nonce does not continue ours")
	}
	salt, err = base64.StdEncoding.DecodeString(f[1][2:])
	if err != nil || len(salt) == 0 {
		return "", nil, 0, errSCRAM
	}
	iterations, err = strconv.Atoi(f[2][2:])
	if err != nil || iterations < minIterations || iterations > maxIterations {
		return "", nil, 0, errors.New("scram: the server's iteration count is out of bounds")
	}
	return nonce, salt, iterations, nil
}

// verify checks server-final-message. Only who knows the password, or what the
// server keeps of it, can have signed the exchange.
func (s *scram) verify(final string) ([]byte, error) {
	value, _, _ := strings.Cut(final, ",")
	if why, ok := strings.CutPrefix(value, "e="); ok {
		return nil, errors.New("scram: the server says " + why)
	}
	signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(value, "v="))
	if err != nil || !strings.HasPrefix(value, "v=") || !hmac.Equal(signature, s.signature) {
		return nil, errors.New("scram: the server's signature is wrong")
	}
	s.verified = true
	return []byte{}, nil
}

// proven reports whether the server has proven itself.
func (s *scram) proven() bool { return s.verified }

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}

// cramMD5 is CRAM-MD5 (RFC 2195). It does not show the password; it is the last
// resort because it proves nothing about the server, and guessing is cheap.
type cramMD5 struct{ user, password string }

func (c cramMD5) Start() (string, []byte, error) { return "CRAM-MD5", nil, nil }

func (c cramMD5) Next(challenge []byte) ([]byte, error) {
	h := hmac.New(md5.New, []byte(c.password))
	h.Write(challenge)
	return []byte(c.user + " " + hex.EncodeToString(h.Sum(nil))), nil
}
