// Package fdconn makes a net.Conn of descriptors that a UCSPI program was given
// (0 and 1, or 6 and 7), and speaks UCSPI-TLS over SSLCTLFD.
//
// It knows descriptors, deadlines and the UCSPI-TLS bytes. It does not know
// what is said over the connection, nor any cryptography.
package fdconn
