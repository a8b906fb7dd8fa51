// Package report turns the Outcome of a delivery into the bytes that
// qmail-rspawn reads (qmail-remote(8), RESULTS), and alone knows English:
// every sentence and every enhanced status code stands in its catalogue.
// Foreign bytes are cleaned here and nowhere else.
//
// It does not know DNS, TLS or sockets.
package report
