package smtpc

import (
	"time"

	"postrider/internal/smtp"
)

// Params is what a conversation needs to know beforehand.
type Params struct {
	Helo string // our name in EHLO and HELO
	// Timeout bounds each reply as a whole, and each write; control/timeoutremote.
	Timeout time.Duration
	// HeloOnly skips EHLO: the server dropped us for saying it.
	HeloOnly bool
	// NoChunking forbids BDAT: the server has been seen to break on it.
	NoChunking bool
	// Plain leaves out the parameters of MAIL that a message can do without: the
	// server has refused it with them, and gone.
	Plain bool
	// TLS is what protects the connection already (implicit TLS, or a helper
	// that has done the handshake); zero for cleartext.
	TLS smtp.Security
}

// Credentials are a user and a password for AUTH (RFC 4954).
type Credentials struct {
	User     string
	Password string // "oauth:TOKEN" asks for OAUTHBEARER or XOAUTH2
	// Clear lets PLAIN and LOGIN go without TLS: the relay is on loopback,
	// or the administrator said so with a "!" before the password.
	Clear bool
}
