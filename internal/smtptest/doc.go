// Package smtptest plays the other side of a delivery: a dialogue is a text
// file that a postmaster can read, and a scripted server that holds the client
// to it, over any net.Conn. Of a program that is a server a Client is the other
// side. Production code never imports it.
//
// # Dialogues
//
// One txtar file is one delivery. The comment on top says what it shows: a
// row of the fault catalogue, an RFC section, or a man page. Then sections:
//
//	-- argv --             host sender recipient..., in one line; quoted words as in Go: "" "a b"@c
//	-- control/NAME --     a control file; any other file under qmail's home likewise (queue/lock/tcpto)
//	-- control/NAME/x --   makes control/NAME a directory, which cannot be read as a file
//	-- message --          the message as qmail stores it; without it, a small one
//	-- age --              how long ago the message was written, as "10m"; without it, just now
//	-- dns --              zone lines: "example.net. MX 10 mx.example.net."; "slow.example. MX !timeout"
//	-- 192.0.2.7:25 --     the script of the server at that address
//	-- wire --             content exactly as it must cross the wire, dot-stuffing included (else: derived from message)
//	-- after/NAME --       what must have become of a file
//	-- report --           what qmail-remote must print; \n \0 \r \\ \xHH stand for bytes, {home} for
//	                       the home directory, line ends of the file for nothing
//	-- report.tls --       the same under TLS, where it is not simply report with K's TLS line
//	-- modes --            where the file runs, if not everywhere: words from the list below, and a "#" comment that says why
//	-- within --           the longest that the delivery may take, as "90s"; checked where time is simulated
//
// A section named X.quoted is X written as Go strings, one or more per line,
// each maybe repeated: "abc\r\n" "x"*1000. Nothing is added between them.
//
// In files, dns and scripts, {…} stands for test material that never changes:
// {home} the home directory, {authority} the test authority's certificate in
// PEM, {cert NAME} and {key NAME} the PEM of a server certificate and its key,
// {tlsa U S M NAME} the data of a TLSA record, {digest sha256 NAME} a fingerprint.
// Of such a NAME, "self:mx.example.net" is self-signed, "expired:…" expired, and
// "cn:…" has a common name and no subject alternative name.
//
// # Scripts
//
// A server's section is read from top to bottom, one exchange per connection:
//
//	< 250 hello          the server says this line, CRLF added
//	<+ "220 x\r\n"       the server says these bytes; "x"*1000 repeats them
//	> EHLO mail.example  the client says exactly this line; before the next < it must have said no more
//	>~ ^EHLO .*$         the client says a line that matches the regular expression
//	>+ "x\r\n"           the client says exactly these bytes
//	>data                the client sends the message, dot-stuffed, and its final dot
//	>bdat                the client sends BDAT commands up to the one with LAST: the message (RFC 3030)
//	>bytes 1000          the client sends so many bytes, whatever they are
//	!tls NAME [max=1.1] [min=1.3] [sni=NAME] [client=NAME]
//	                     TLS begins here, with that certificate; client= is the one that we must be shown
//	!scram USER PASSWORD [forged] [wrong]
//	                     the client says AUTH SCRAM-SHA-256, and both prove that they know the password
//	                     (RFC 7677); what comes of it follows. forged: the server's proof is none;
//	                     wrong: the client's must be of another password
//	!from 192.0.2.99     the connection comes from this address; !from alone: its source was left to the kernel
//	!close               the server closes the connection
//	!cut                 the same, under TLS without saying so (no close_notify)
//	!halfclose           the server sends FIN and goes on reading
//	!reset               the server resets the connection
//	!stall               the server says nothing more, and the client must not either, except QUIT
//	!sink                the server says nothing more and reads whatever comes; the client need
//	                     not have heard what was said before
//	!deaf                the server says nothing more and does not read
//	!wait 30s            the server takes its time
//	!drip 30s            every byte from here on takes that time
//	== next connection ==
//
// Lines beginning with # are comments. A script that ends lets the client say
// QUIT and close; where QUIT is written (> QUIT), it is demanded. Consecutive <
// lines go out in one write. A section may instead, or first, say
//
//	!refuse              connections are refused
//	!blackhole           connections are never answered
//	!optional            it is no deviation if nobody connects, or hangs up before the first <
//
// and a further connection may be refused by !refuse as its whole script (in the
// engine only).
//
// A script that is left unread, a connection without a script, and any byte that
// differs is a deviation.
//
// # Modes
//
// A dialogue runs in every combination of: whole, bytes, random (how the
// server's bytes arrive: as written, one at a time, split at random); clear,
// tls (the same with STARTTLS put into each EHLO reply and the handshake after
// it, unless the file has TLS of its own); engine, process (remote.Engine in this
// process with simulated time; the built program, real DNS and TCP in a network
// namespace). Dialogues with !wait, !drip, "within",
// !blackhole or a late !refuse run in the engine only, all others in the process as
// whole.
package smtptest
