// Package fixsmtpio stands between an SMTP client and the server it was written
// for: it rewrites commands and replies by the rules of control/fixsmtpio, turns
// some of them into exit codes, and gives STARTTLS to servers that have none.
//
// It knows where a command, a reply and the content of a message begin and end,
// whatever pieces they come in, and which reply belongs to which command. It
// does not know what they mean: it neither accepts mail nor refuses it. A server
// gets whole command lines only, and nothing that it and we might understand
// differently (NUL, BDAT).
//
// How a session goes:
//
//	Load          reads the greeting and the rules
//	Session.Run   starts the server between two pipes, carries bytes, and after
//	              STARTTLS starts it afresh with the new environment
//	dialogue      is the byte machine: client and server bytes go in, rewritten
//	              ones come out, and it tells when TLS is due or all is over
//	rules         rewrite one request, or one whole reply
package fixsmtpio
