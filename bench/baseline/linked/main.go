// Linked does nothing either, but carries the code that every SMTP client with
// TLS carries, and pays for its initialisation.
package main

import (
	"crypto/tls"
	"os"
)

func main() {
	// Never so: but what nobody calls the linker leaves out, and the
	// initialisation with it.
	if len(os.Args) > 1 {
		c, err := tls.Dial("tcp", os.Args[1], nil)
		if err != nil {
			os.Exit(1)
		}
		c.Close()
	}
}
