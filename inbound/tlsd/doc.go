// Package tlsd is the server's side of TLS for programs that speak in clear:
// the only server handshake there is.
//
// It knows certificates, keys, whom to ask for a certificate, how a process
// gives up its rights, and how cleartext and TLS are carried between a program
// and the network. It does not know what is said, nor how it was started.
//
// The order of events, which is the point of a process of its own:
//
//	Load        reads every file, with the rights of who started us
//	Rights.Drop gives these rights up, for good
//	Handshake   hears the first byte from the network
//	Session     carries bytes until one side is gone
//
// So who breaks crypto/tls has a key, and neither the right to read another
// file nor anything of the mail; and who breaks the mail program finds no key in
// its memory, nor a file that it may read. Nothing outlives a connection: no
// session tickets, no cache, and a new certificate is in use with the next
// connection.
package tlsd
