// Linked does nothing either, but carries the packages that every SMTP client
// with TLS carries, and pays for their initialisation.
package main

import (
	_ "crypto/tls"
	_ "net"
)

func main() {}
