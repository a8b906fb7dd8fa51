// Package ofmipd is qmail-ofmipd's policy: mail from a user's mail program is
// taken for everybody, once its header and its envelope have been made whole.
//
// It knows the control files of qmail-ofmipd(8), which of a user's addresses
// becomes which, and how the program behaves under qmail-authup(8). It does not
// know the order of a dialogue, nor how mail gets into the queue: that is
// package inbound's, whose Server it is; nor what a header means, which is
// internal/mess822's. Whoever is allowed to send mail it does not know either:
// whoever starts it has seen to that.
package ofmipd
