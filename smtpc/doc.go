// Package smtpc holds one SMTP conversation on a connection it is given:
// greeting, EHLO, STARTTLS, AUTH, and one transaction after another.
//
//	c := smtpc.New(conn, smtpc.Params{…})
//	err := c.Greet(ctx)                 greeting, then Hello
//	err = c.Hello(ctx)                  EHLO or HELO alone (a helper read the greeting)
//	err = c.RequestTLS(ctx)             STARTTLS up to its 220; nothing may be buffered
//	err = c.Secured(ctx, tlsConn, sec)  forget everything, EHLO again (RFC 3207 §4.2)
//	err = c.Auth(ctx, creds)
//	tx := c.Send(ctx, envelope, message)
//	c.Quit()                            says QUIT, waits for nothing, closes
//	conn := c.Release()                 gives the connection away, for a handshake elsewhere
//
// It knows RFC 5321, 1870, 2920, 3030, 3207, 4954, 6152 and 6531. It does not
// know who the peer is, why it was chosen, how TLS is made, or what a failure
// means for the mail: every method reports where and why the conversation
// ended (smtp.Ending), and somebody else judges. The connection has one owner;
// methods are not for concurrent use. A failed conversation is closed at once.
package smtpc
