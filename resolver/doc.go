// Package resolver asks DNS questions, many at once, and gives typed answers:
// MX, addresses and TLSA, each with whether it was authenticated (AD) by a
// resolver that may be believed about it.
//
// It knows resolv.conf, DNSCACHEIP, EDNS0, UDP with retry and rotation, TCP when
// truncated, CNAME chains, deadlines. It does not know what an MX is for: order,
// null MX and loops are judged in remote. Names arrive and leave as A-labels
// without a final dot.
//
// A Resolver remembers nothing: a program that is run for one delivery has no use
// for it. A Cache is the same to its callers and remembers, for one that stays; a
// program that makes none has nothing of it linked in.
package resolver
