package peers

import (
	"os"
	"testing"
)

// TCPClient returns the path of Debian's tcpclient (ucspi-tcp).
func TCPClient(t testing.TB) string { return tool(t, "/usr/bin/tcpclient") }

// TCPServer returns the path of Debian's tcpserver (ucspi-tcp).
func TCPServer(t testing.TB) string { return tool(t, "/usr/bin/tcpserver") }

// Swaks returns the path of swaks, a client for trying SMTP servers.
func Swaks(t testing.TB) string { return tool(t, "/usr/bin/swaks") }

// Curl returns the path of curl.
func Curl(t testing.TB) string { return tool(t, "/usr/bin/curl") }

// OpenSSL returns the path of openssl.
func OpenSSL(t testing.TB) string { return tool(t, "/usr/bin/openssl") }

// SetUIDGID returns the path of daemontools' setuidgid.
func SetUIDGID(t testing.TB) string { return tool(t, "/usr/bin/setuidgid") }

// CDB returns the path of tinycdb's cdb.
func CDB(t testing.TB) string { return tool(t, "/usr/bin/cdb") }

func tool(t testing.TB, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("peers: %v (does TestMain call peers.Main?)", err)
	}
	return path
}
