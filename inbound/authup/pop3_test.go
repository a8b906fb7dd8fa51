package authup

import (
	"io/fs"
	"testing"
)

// TestPOP3: the same for POP3.
func TestPOP3(t *testing.T) {
	for _, c := range []struct {
		reason, script string
		change         func(*talk)
	}{
		{"the original's", `
			S: +OK <18154.1795174845@me.example>
			C: CAPA
			S: +OK capability list follows
			S: USER
			S: TOP
			S: UIDL
			S: .
			C: STAT
			S: -ERR authup authorization first
			C: USER
			S: -ERR authup syntax error
			C: PASS x
			S: -ERR authup USER first
			C: STLS
			S: -ERR STLS not available
			C: NOOP
			S: +OK 
			C: USER joe blow
			S: +OK 
			C: PASS
			S: -ERR authup syntax error
			C: PASS wrong
			S: -ERR authup authorization failed
			exit 1`, nil},
		{"spaces, and who is behind checkpassword speaks first", `
			S: +OK <18154.1795174845@me.example>
			C: USER joe blow
			S: +OK 
			C: PASS a b c
			S: +OK 
			C: STAT
			S: heard STAT
			C: EXIT 100
			exit 100`, nil},
		{"NULs", `
			S: +OK <18154.1795174845@me.example>
			C: USER u\0p
			S: -ERR authup syntax error
			C: USER u
			S: +OK 
			C: PASS p\0
			S: -ERR authup syntax error
			C: PASS p
			S: +OK 
			exit 0`, nil},
		{"TLS first", `
			S: +OK me.example
			C: CAPA
			S: +OK capability list follows
			S: STLS
			S: USER
			S: TOP
			S: UIDL
			S: .
			C: USER u
			S: -ERR authup Must start TLS first
			C: PASS p
			S: -ERR authup USER first
			C: APOP u 00
			S: -ERR authup authorization first
			C: QUIT
			S: +OK 
			exit 0`, func(k *talk) { k.env = []string{"UCSPITLS=!"} }},
		{"TLS that nobody gives", `
			S: +OK me.example
			C: STLS
			S: +OK starting TLS negotiation
			S: -ERR authup TLS temporarily not available
			exit 1`, func(k *talk) { k.env = []string{"UCSPITLS="} }},
		{"more tries", `
			S: +OK <18154.1795174845@me.example>
			C: USER u
			S: +OK 
			C: PASS q
			S: -ERR authup authorization failed
			C: PASS p
			S: +OK 
			exit 0`, func(k *talk) { k.Tries = 2 }},
		{"no control files", `
			S: -ERR authup unable to read controls
			exit 1`, func(k *talk) { k.fail = fs.ErrNotExist }},
		{"a client that goes", `
			S: +OK <18154.1795174845@me.example>
			S: -ERR authup unable to read pipe
			exit 1`, nil},
		{"qmail-popup: bare texts, one attempt, always 1", `
			S: +OK <18154.1795174845@me.example>
			C: STAT
			S: -ERR authorization first
			C: APOP u 00
			S: -ERR authorization first
			C: PASS p
			S: -ERR USER first
			C: USER u
			S: +OK 
			C: PASS q
			S: -ERR authorization failed
			exit 1`, popup},
		{"qmail-popup, right password", `
			S: +OK <18154.1795174845@me.example>
			C: USER u
			S: +OK 
			C: PASS p
			S: +OK 
			exit 1`, popup},
		{"qmail-popup, QUIT", `
			S: +OK <18154.1795174845@me.example>
			C: QUIT
			S: +OK 
			exit 1`, popup},
		{"qmail-popup, a client that goes", `
			S: +OK <18154.1795174845@me.example>
			exit 1`, popup},
		{"qmail-popup, a program that fails", `
			S: +OK <18154.1795174845@me.example>
			C: USER exit14
			S: +OK 
			C: PASS x
			S: -ERR authorization failed
			exit 1`, popup},
		{"qmail-popup, a program that crashes", `
			S: +OK <18154.1795174845@me.example>
			C: USER signal9
			S: +OK 
			C: PASS x
			S: -ERR aack, child crashed
			exit 1`, popup},
	} {
		t.Run(c.reason, func(t *testing.T) {
			k := popbox()
			if c.change != nil {
				c.change(&k)
			}
			k.play(t, c.script)
		})
	}
}

func popup(k *talk) { k.Popup, k.Tries, k.Capabilities = true, 9, nil }
