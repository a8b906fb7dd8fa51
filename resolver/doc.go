// Package resolver asks DNS questions, many at once, and gives typed answers:
// MX, addresses and TLSA, each with whether it was authenticated (AD) by a
// resolver that may be believed about it.
//
// It knows resolv.conf, DNSCACHEIP, EDNS0, UDP with retry and rotation, TCP when
// truncated, CNAME chains, deadlines. It does not know what an MX is for: order,
// null MX and loops are judged in remote. Names arrive and leave as A-labels
// without a final dot.
package resolver
