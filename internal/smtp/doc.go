// Package smtp is the protocol room: what an SMTP reply, an EHLO keyword, a
// path, a line of content and the record of a conversation are, to the byte.
// The client (smtpc) and the servers (inbound) share it.
//
// It knows RFC 5321 syntax and nothing of sockets, TLS, DNS, qmail or time.
// Every reader here is bounded; a reader that has failed stays failed.
package smtp
