package authup

import (
	"io/fs"
	"testing"
)

// TestSMTP: the dialogue of the original program, and what it did wrong put right.
func TestSMTP(t *testing.T) {
	for _, c := range []struct {
		reason, script string
		change         func(*talk)
	}{
		{"the original's", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-AUTH LOGIN PLAIN
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: HELO y
			S: 250 me.example
			C: MAIL FROM:<a>
			S: 530 authup authentication required (#5.7.1)
			C: RSET
			S: 530 authup authentication required (#5.7.1)
			C: vrfy
			S: 530 authup authentication required (#5.7.1)
			C: NOOP
			S: 250 ok
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: AUTH
			S: 504 authup auth type unimplemented (#5.5.1)
			C: AUTH CRAM-MD5
			S: 504 authup auth type unimplemented (#5.5.1)
			C: AUTH PLAIN AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH PLAIN
			S: 334 
			C: AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: dXNlcg==
			S: 334 UGFzc3dvcmQ6
			C: cGFzcw==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH LOGIN dXNlcg==
			S: 334 UGFzc3dvcmQ6
			C: cGFzcw==
			S: 535 authup authorization failed (#5.7.0)
			S: 454 authup unable to read pipe (#4.3.0)
			exit 1`, nil},
		{"QUIT, HELP, small letters", `
			S: 220 me.example ESMTP
			C: help me
			S: 214 authup is Postrider's: see qmail-authup(8)
			C: quit
			S: 221 me.example
			exit 0`, nil},
		{"the last of two tries", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH PLAIN AHUAcQ==
			S: 535 authup authorization failed (#5.7.0)
			exit 1`, func(k *talk) { k.Tries = 2 }},
		{"attempts of no worth cost nothing", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN *
			S: 501 authup auth exchange cancelled (#5.0.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: *
			S: 501 authup auth exchange cancelled (#5.0.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: dXNlcg==
			S: 334 UGFzc3dvcmQ6
			C: *
			S: 501 authup auth exchange cancelled (#5.0.0)
			C: AUTH LOGIN
			S: 334 VXNlcm5hbWU6
			C: 
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH PLAIN
			S: 334 
			C: 
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH LOGIN =
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH PLAIN =
			S: 501 authup malformed auth input (#5.5.4)
			C: AUTH PLAIN AHUAcA==
			S: 235 ok, go ahead (#2.0.0)
			exit 0`, func(k *talk) { k.Tries = 1 }},
		{"no capabilities: AUTH is the last line", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250 AUTH LOGIN PLAIN
			C: QUIT
			S: 221 me.example
			exit 0`, func(k *talk) { k.Capabilities = nil }},
		{"broken clients", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-AUTH LOGIN PLAIN
			S: 250 AUTH=LOGIN PLAIN
			C: QUIT
			S: 221 me.example
			exit 0`, func(k *talk) { k.Capabilities, k.env = nil, []string{"AUTHUP_SASL_BROKEN_CLIENTS="} }},
		{"TLS first", `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-STARTTLS
			S: 250-AUTH LOGIN PLAIN
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: AUTH PLAIN AHUAcA==
			S: 530 authup Must start TLS first (#5.7.0)
			C: AUTH LOGIN
			S: 530 authup Must start TLS first (#5.7.0)
			C: STARTTLS now
			S: 501 Syntax error (no parameters allowed) (#5.5.4)
			C: QUIT
			S: 221 me.example
			exit 0`, func(k *talk) { k.env = []string{"UCSPITLS=!"} }},
		{"TLS that nobody gives", `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 220 Ready to start TLS (#5.7.0)
			S: 454 authup TLS temporarily not available (#5.7.3)
			exit 1`, func(k *talk) { k.env = []string{"UCSPITLS="} }},
		{"TLS refused by who started us", `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: AUTH PLAIN AHUAcA==
			S: 235 ok, go ahead (#2.0.0)
			exit 0`, func(k *talk) { k.env = []string{"UCSPITLS=!", "DISABLETLS="} }},
		{"no control files", `
			S: 421 authup unable to read controls (#4.3.0)
			exit 1`, func(k *talk) { k.fail = fs.ErrPermission; k.Patience = 0 }},
		{"no checkpassword", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcA==
			S: 454 authup unable to fork (#4.3.0)
			exit 1`, func(k *talk) { k.Command = []string{"no-such-checkpassword", "server"} }},
		{"a program of a path, in a directory", `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcA==
			S: 250 ok
			exit 0`, func(k *talk) {
			// checkpassword goes home before it runs the second.
			k.Dir, k.Command = programs, []string{"./checkpassword", programs + "/server", "250 ok"}
		}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			k := submission()
			if c.change != nil {
				c.change(&k)
			}
			k.play(t, c.script)
		})
	}
}
