package peers

import "strconv"

var (
	smtpAble = control{"smtpcapabilities": "PIPELINING\n8BITMIME"}
	pop3Able = control{"pop3capabilities": "TOP\nUIDL"}
)

// nobody's password is right for; it tells what it was given.
const nobodys = ` sh -c 'cat <&3 >>$T/saw; printf "[%s]" "$AUTHUP_USER" >>$T/saw; exit 1'`

// authupTranscripts are qmail-authup's by itself.
func authupTranscripts() []transcript {
	list := []transcript{
		{name: "authup smtp", control: smtpAble, chain: "qmail-authup smtp" + nobodys, exit: 1, saw: "u|p||[u]u|p||[u]user|pass||[user]user|pass||[user]", script: `
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
			C: VRFY
			S: 530 authup authentication required (#5.7.1)
			C: NOOP
			S: 250 ok
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: AUTH
			S: 504 authup auth type unimplemented (#5.5.1)
			C: AUTH CRAM-MD5
			S: 504 authup auth type unimplemented (#5.5.1)
			C: AUTH PLAIN AHUAcA==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH PLAIN
			S: 334 
			C: AHUAcA==
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
			END
			S: 454 authup unable to read pipe (#4.3.0)`},
		{name: "authup, two tries", control: smtpAble, chain: "authup -t 2 smtp false", exit: 1, script: `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcA==
			S: 535 authup authorization failed (#5.7.0)
			C: AUTH PLAIN AHUAcA==
			S: 535 authup authorization failed (#5.7.0)`},
		{name: "authup, a silent client", control: smtpAble.with("timeoutsmtpd", "1"), chain: "qmail-authup smtp false", exit: 1, script: `
			S: 220 me.example ESMTP
			S: 451 authup timeout (#4.4.2)`},
		{name: "authup under TLS", control: smtpAble, env: "UCSPITLS=!", chain: "ucspi-tlsd qmail-authup smtp checkpassword server '235 ok'", script: `
			S: 220 me.example ESMTP
			C: EHLO a
			S: 250-me.example
			S: 250-STARTTLS
			S: 250-AUTH LOGIN PLAIN
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: AUTH PLAIN AHUAcA==
			S: 530 authup Must start TLS first (#5.7.0)
			C+ STARTTLS
			C: AUTH PLAIN AHUAcA==
			S: 220 Ready to start TLS (#5.7.0)
			TLS
			C: EHLO b
			S: 250-me.example
			S: 250-AUTH LOGIN PLAIN
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: AUTH PLAIN AHUAcA==
			S: 235 ok
			C: NOOP
			S: heard NOOP
			C: EXIT 0`},
		{name: "authup, no helper", control: smtpAble, env: "UCSPITLS=!", chain: "qmail-authup smtp false", exit: 1, script: `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 220 Ready to start TLS (#5.7.0)
			S: 454 authup TLS temporarily not available (#5.7.3)`},
		{name: "authup pop3", control: pop3Able, chain: "qmail-authup pop3" + nobodys, exit: 1, saw: "joe blow|a b c|<PID.TIME@me.example>|[joe blow]", script: `
			S: +OK <PID.TIME@me.example>
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
			C: PASS a b c
			S: -ERR authup authorization failed`},
		{name: "authup pop3, in", control: pop3Able, chain: "qmail-authup pop3 checkpassword true", script: `
			S: +OK <PID.TIME@me.example>
			C: USER joe blow
			S: +OK 
			C: PASS a b c`},
		{name: "authup pop3, TLS demanded", control: pop3Able, env: "UCSPITLS=!", chain: "ucspi-tlsd qmail-authup pop3 checkpassword server '+OK '", script: `
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
			C: QUIT
			S: +OK `},
		{name: "authup pop3 under TLS", control: pop3Able, env: "UCSPITLS=!", chain: "ucspi-tlsd qmail-authup pop3 checkpassword server '+OK '", script: `
			S: +OK me.example
			C+ STLS
			C: USER evil
			S: +OK starting TLS negotiation
			TLS
			C: PASS p
			S: -ERR authup USER first
			C: STLS
			S: -ERR STLS not available
			C: USER u
			S: +OK 
			C: PASS p
			S: +OK 
			C: EXIT 0`},
		{name: "qmail-popup", chain: "qmail-popup pop.example checkpassword server '+OK '", exit: 1, script: `
			S: +OK <PID.TIME@pop.example>
			C: APOP u 00
			S: -ERR authorization first
			C: USER u
			S: +OK 
			C: PASS p
			S: +OK 
			C: STAT
			S: heard STAT
			END`},
	}
	for code, says := range map[int]string{
		0: "", 3: "", 14: "", 15: "", 17: "", 100: "", 1: "535 authup authorization failed (#5.7.0)", 2: "535 authup authorization failed (#5.7.0)",
		111: "535 authup authorization failed (#5.7.0)", 16: "451 authup timeout (#4.4.2)", 18: "421 authup unable to read controls (#4.3.0)",
	} {
		c := transcript{name: "authup, exit " + strconv.Itoa(code), control: smtpAble, chain: "qmail-authup -t1 smtp sh -c 'exit " + strconv.Itoa(code) + "'", exit: code,
			script: "S: 220 me.example ESMTP\nC: AUTH PLAIN AHUAcA=="}
		if says != "" {
			c.script, c.exit = c.script+"\nS: "+says, 1
		}
		list = append(list, c)
	}
	return list
}
