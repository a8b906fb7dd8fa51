// Package tlspolicy turns facts about a destination into a Policy (may we
// encrypt, must we, whom do we believe). The room handshake behind it carries the
// Policy out.
//
// It knows control/trustanchors, tlsstrictness, clientcert, clientkey,
// tlsdestinations, domaincerts, tlshosts and notlshosts, DANE (RFC 6698, 7671,
// 7672). It has a place for MTA-STS (RFC 8461) and
// REQUIRETLS (RFC 8689). It does not know SMTP verbs, DNS queries or retries:
// TLSA records are handed to it, and who is tried next is decided in remote.
package tlspolicy
