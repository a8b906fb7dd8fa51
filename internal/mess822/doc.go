// Package mess822 is the header of a mail message as qmail-ofmipd rewrites it:
// fields, lists of addresses, dates, and the rules by which host names are made
// whole.
//
// It is pure: text in, text out. It does not know SMTP, files, processes or the
// time of day. Every function takes time and memory in proportion to its input,
// whatever that is.
//
// How a header is rewritten (Rewriter.Append):
//
//	Fields     divides it; every field is recognised by its whole name
//	Addresses  reads the fields that have addresses in them, right to left
//	Rules      make the host of each whole
//	List       prints them, quoted and folded
//	ParseDate  reads Date, whose clock also names the message
package mess822
