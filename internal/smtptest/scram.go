package smtptest

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// The server's own part of every SCRAM exchange, as in RFC 7677 §3.
const (
	scramNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	scramSalt  = "W22ZaJ0SNY7soEsUEjb6gQ=="
	scramCost  = 4096
)

// parseScram parses the argument of !scram.
func parseScram(arg string) (user, password, how string, err error) {
	f := strings.Fields(arg)
	if len(f) == 3 && (f[2] == "forged" || f[2] == "wrong") {
		how = f[2]
	} else if len(f) != 2 {
		return "", "", "", fmt.Errorf("!scram %s?", arg)
	}
	return f[0], f[1], how, nil
}

// scram is the server's side of SCRAM-SHA-256 (RFC 5802 §3, RFC 7677), from AUTH
// up to the reply that says what came of it, which it leaves to the script.
func (p *player) scram(arg string) error {
	user, password, how, _ := parseScram(arg)
	first, err := p.response("AUTH SCRAM-SHA-256 ")
	if err != nil {
		return err
	}
	bare, bound := strings.CutPrefix(first, "n,,")
	nonce, named := strings.CutPrefix(bare, "n="+user+",r=")
	if !bound || !named || nonce == "" {
		return p.deviate("began SCRAM with %q", first)
	}
	challenge := fmt.Sprintf("r=%s%s,s=%s,i=%d", nonce, scramNonce, scramSalt, scramCost)
	if p.challenge(challenge) != nil {
		return p.deviate("is gone")
	}
	final, err := p.response("")
	if err != nil {
		return err
	}
	without := "c=biws,r=" + nonce + scramNonce
	proof, signature := scramProof(password, bare+","+challenge+","+without)
	if right := final == without+",p="+base64.StdEncoding.EncodeToString(proof); right != (how != "wrong") {
		return p.deviate("ended SCRAM with %q; knows the password: %t", final, right)
	}
	if how == "wrong" {
		return nil
	}
	if how == "forged" {
		signature = bytes.Repeat([]byte("x"), len(signature))
	}
	if p.challenge("v="+base64.StdEncoding.EncodeToString(signature)) != nil {
		return p.deviate("is gone")
	}
	if how == "forged" {
		return nil
	}
	return p.line(Step{verb: ">"})
}

// response hears a line that begins with prefix, and then is base64.
func (p *player) response(prefix string) (string, error) {
	got, err := p.hear()
	if err != nil {
		return "", p.deviate("said %q and then nothing (%v)", got, err)
	}
	text, ok := strings.CutPrefix(strings.TrimSuffix(got, "\r\n"), prefix)
	b, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return "", p.deviate("said %q, not %q and base64", got, prefix)
	}
	return string(b), nil
}

// challenge says 334.
func (p *player) challenge(text string) error {
	p.out = append(p.out, "334 "+base64.StdEncoding.EncodeToString([]byte(text))+"\r\n"...)
	return p.flush()
}

// scramProof is what client and server show each other (RFC 5802 §3).
func scramProof(password, message string) (client, server []byte) {
	salt, err := base64.StdEncoding.DecodeString(scramSalt)
	if err != nil {
		panic("smtptest: our own salt: " + err.Error())
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramCost, sha256.Size)
	if err != nil {
		panic("smtptest: " + err.Error())
	}
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	client = mac(stored[:], message)
	for i := range client {
		client[i] ^= key[i]
	}
	return client, mac(mac(salted, "Server Key"), message)
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
