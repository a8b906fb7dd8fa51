// Package smtpd is qmail-smtpd's policy: whose mail is taken, for whom, how
// much of it, and the Received field it gets.
//
// It knows the control files of qmail-smtpd(8) and what they mean. It does not
// know the order of a dialogue, nor how mail gets into the queue: that is
// package inbound's, whose Server it is.
package smtpd
