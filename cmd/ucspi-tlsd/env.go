package main

import (
	"slices"
	"strings"

	"postrider/inbound"
)

// clean removes what concerns the TLS process and not the program, unless keep;
// and in any case what another helper has said of another session.
func clean(env inbound.Env, keep bool) inbound.Env {
	return slices.DeleteFunc(slices.Clone(env), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case "SSLCTLFD", "SSLREADFD", "SSLWRITEFD", "SSL_PROTOCOL", "SSL_CIPHER", "SSL_VERIFIED",
			"SSL_TLS_SNI_SERVERNAME", "SSL_PEER_CERT_HASH", "SSL_PEER_CERT_SUBJECT":
			return true
		case "CADIR", "CAFILE", "CERTFILE", "KEYFILE", "CERTCHAINFILE",
			"TLS_UID", "TLS_GID", "SSL_UID", "SSL_GID", "SSL_CHROOT":
			return !keep
		}
		return !keep && (strings.HasPrefix(name, "CERTFILE:") || strings.HasPrefix(name, "KEYFILE:"))
	})
}
