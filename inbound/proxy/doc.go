// Package proxy gives STARTTLS to an SMTP server that has none and stays what it
// is: it stands between client and server until TLS has begun, or the client has
// shown that it wants none, and after that carries bytes without looking at them.
//
// It knows the commands that may come before MAIL, and that each has one reply,
// of one line or of many. It knows nothing of mail: with HELO or MAIL it steps
// aside for good.
//
// The server is the process that was there at first, with pipes in place of the
// network; the proxy is its child. See cmd/smtpd-starttls-proxy-io.
package proxy
