// Package handshake carries out a tlspolicy.Policy: the only client handshake
// that Postrider has.
//
// It knows crypto/tls, trust anchors, certificates and their names (RFC 6125),
// and what a TLSA record matches (RFC 6698, 7671, 7672). It decides nothing: that
// is done in tlspolicy, which qmail-remote has without all of this, as only its
// helper ucspi-tlsc ever shakes hands.
package handshake
