package peers

import (
	"os"
	"strings"
	"testing"
)

// smtpdTranscripts are qmail-smtpd's.
func smtpdTranscripts() []transcript {
	const start, mailing = "S: 220 me.example ESMTP\n", `
			C+ MAIL FROM:<me@here>
			C+ RCPT TO:<you@there>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 354 go ahead
			`
	const known = "TCPREMOTEIP=1.2.3.4|TCPREMOTEHOST=Client.Example|TCPLOCALHOST=loc.al"
	list := []transcript{
		{name: "smtpd", env: known + "|RELAYCLIENT=@rel", chain: "qmail-smtpd", script: start + `
			C: EHLO client.example
			S: 250-me.example
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: HELO client.example
			S: 250 me.example
			C: MAIL FROM:<me@here>
			S: 250 ok
			C: RCPT TO:<@r:"a b"@c>
			S: 250 ok
			C: DATA
			S: 354 go ahead
			C+ Subject: x
			C+ 
			C+ ..dot
			C: .
			S: 250 ok TIME qp PID
			C: QUIT
			S: 221 me.example`,
			message:  "Received: from Client.Example (1.2.3.4)\n  by loc.al with SMTP; DATE\nSubject: x\n\n.dot\n",
			envelope: "Fme@here|Ta b@c@rel||"},
		{name: "smtpd, who is who", env: "-uTCPREMOTEIP|-uTCPREMOTEHOST|-uTCPLOCALHOST|TCPREMOTEINFO=us er|TCPLOCALIP=9.8.7.6", chain: "qmail-smtpd", script: start + `
			C: HELO h(el)o w
			S: 250 me.example` + mailing + `C: .
			S: 250 ok TIME qp PID
			C: QUIT
			S: 221 me.example`,
			message:  "Received: from unknown (HELO h?el?o?w) (us?er@unknown)\n  by 9.8.7.6 with SMTP; DATE\n",
			envelope: "Fme@here|Tyou@there||"},
		{name: "smtpd, rcpthosts", control: control{"rcpthosts": "here.com\n.sub.com"}, chain: "qmail-smtpd", script: start + `
			C: MAIL FROM:<a>
			S: 250 ok
			C: RCPT TO:<a@here.com>
			S: 250 ok
			C: RCPT TO:<a@x.Sub.com>
			S: 250 ok
			C: RCPT TO:<local>
			S: 250 ok
			C: RCPT TO:<a@x.here.com>
			S: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
			C: RCPT TO:<a@here>
			S: 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: QUIT
			S: 221 me.example`},
		{name: "smtpd, databytes", env: known + "|DATABYTES=6", chain: "qmail-smtpd", script: start + mailing + `C+ 123456
			C: .
			S: 552 sorry, that message size exceeds my databytes limit (#5.3.4)
			END`, exit: 1},
		{name: "smtpd, exactly databytes", env: known + "|DATABYTES=6", chain: "qmail-smtpd", script: start + mailing + `C+ 12345
			C: .
			S: 250 ok TIME qp PID
			END`, exit: 1, message: "Received: from Client.Example (1.2.3.4)\n  by loc.al with SMTP; DATE\n12345\n", envelope: "Fme@here|Tyou@there||"},
		{name: "smtpd, no loop", env: known, chain: "qmail-smtpd", script: start + mailing +
			strings.Repeat("C+ received-spf\n", 50) + strings.Repeat("C+ DELIVERED-to:\n", 49) + "C: .\nS: 250 ok TIME qp PID\nC: QUIT\nS: 221 me.example",
			message:  "Received: from Client.Example (1.2.3.4)\n  by loc.al with SMTP; DATE\n" + strings.Repeat("received-spf\n", 50) + strings.Repeat("DELIVERED-to:\n", 49),
			envelope: "Fme@here|Tyou@there||"},
		{name: "smtpd, a loop", chain: "qmail-smtpd", script: start + mailing +
			strings.Repeat("C+ received\n", 100) + "C: .\nS: 554 too many hops, this message is looping (#5.4.6)\nC: QUIT\nS: 221 me.example"},
	}
	for then, says := range map[string]string{
		"exit 11": "554 envelope address too long for qq (#5.1.3)", "exit 31": "554 mail server permanently rejected message (#5.3.0)",
		"exit 39": "554 qq permanent problem (#5.3.0)", "exit 41": "451 qq temporary problem (#4.3.0)", "exit 82": "451 qq temporary problem (#4.3.0)",
		"exit 111": "451 qq temporary problem (#4.3.0)", "exit 120": "451 unable to exec qq (#4.3.0)",
	} {
		list = append(list, transcript{name: "smtpd, queue: " + then, env: "QUEUE_THEN=" + then, chain: "qmail-smtpd",
			script: start + mailing + "C: .\nS: " + says + "\nC: QUIT\nS: 221 me.example"})
	}
	return list
}

// ofmipdTranscripts are qmail-ofmipd's.
func ofmipdTranscripts() []transcript {
	const start, end = "S: 220 me.example ESMTP\n", `
			C: .
			S: 250 ok
			C: QUIT
			S: 221 me.example`
	const who = "TCPREMOTEIP=1.2.3.4|TCPREMOTEINFO=we@ird"
	message := func(mail, header string) string {
		s := start + "C: MAIL FROM:" + mail + "\nS: 250 ok\nC: RCPT TO:<a@here>\nS: 250 ok\nC: RCPT TO:bob@x.y\nS: 250 ok\nC: DATA\nS: 354 go ahead\n"
		for line := range strings.Lines(header) {
			s += "C+ " + line
		}
		return s + end
	}
	const names = `printf '+14,28:joe@me.example->Joe Shmoe\0J.Shmoe@sun.af.mil\n\n' | cdb -c $T/names.cdb`
	a, b := "first-of-four-long-addresses-of-this-list", "with-a-domain-that-is-not-short.cc"
	return []transcript{
		{name: "ofmipd", env: who, chain: "qmail-ofmipd",
			script:   message("<joe>", "Subject: hi\nTo: Joe <joe@here>\nReceived: foo\nBcc: secret\nX: y\nbody line\n..dot\n"),
			envelope: "Fjoe@me.example|Ta@here.me.example|Tbob@x.y||", message: `Received: (ofmipd we?ird@1.2.3.4); DATE
Received: foo
Date: DATE
Message-ID: <TIME.1.PID.qmail@me.example>
From: joe@me.example
To: "Joe" <joe@here.me.example>
Subject: hi
X: y

body line
.dot
`},
		{name: "ofmipd, names", env: who, setup: names, chain: "qmail-ofmipd $T/names.cdb",
			script:   message("<joe>", "Date: Mon, 3 Feb 2025 10:00:00 +0100\nFrom: zz@q\nSender: me\n"),
			envelope: "FJ.Shmoe@sun.af.mil|Ta@here.me.example|Tbob@x.y||", message: `Received: (ofmipd we?ird@1.2.3.4); DATE
Date: 3 Feb 2025 10:00:00 +0100
Message-ID: <TIME.1.PID.qmail@me.example>
From: "Joe Shmoe" <J.Shmoe@sun.af.mil>
Sender: me@me.example
Cc: recipient list not shown: ;
`},
		{name: "ofmipd, nobody and nothing", env: who, chain: "qmail-ofmipd", script: message("<>", ""),
			envelope: "F|Ta@here.me.example|Tbob@x.y||", message: `Received: (ofmipd we?ird@1.2.3.4); DATE
Date: DATE
Message-ID: <TIME.1.PID.qmail@me.example>
From: <>
Cc: recipient list not shown: ;
`},
		{name: "ofmipd, odd and long", env: who, chain: "qmail-ofmipd",
			script:   message("<a@b@c>", "To: "+a+"@"+b+", ddd@eee.ff, ggg@hh.i,\n last@k.l\n"),
			envelope: "Fa@b@c.me.example|Ta@here.me.example|Tbob@x.y||", message: `Received: (ofmipd we?ird@1.2.3.4); DATE
Date: DATE
Message-ID: <TIME.1.PID.qmail@me.example>
From: "a@b"@c.me.example
To: ` + a + "@" + b + `,
  ddd@eee.ff, ggg@hh.i, last@k.l
`},
		{name: "ofmipd under TLS", env: "UCSPITLS=!|" + who, chain: "ucspi-tlsd qmail-ofmipd", script: start + `
			C: MAIL FROM:<joe>
			S: 530 Must start TLS first (#5.7.0)
			C+ STARTTLS
			C: MAIL FROM:<evil>
			S: 220 Ready to start TLS (#5.7.0)
			TLS
			C: EHLO x
			S: 250-me.example
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: RCPT TO:<evil>
			S: 503 MAIL first (#5.5.1)
			C+ MAIL FROM:<joe>
			C+ RCPT TO:<a@here>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 354 go ahead` + end,
			envelope: "Fjoe@me.example|Ta@here.me.example||", message: `Received: (ofmipd we?ird@1.2.3.4); DATE
Date: DATE
Message-ID: <TIME.1.PID.qmail@me.example>
From: joe@me.example
Cc: recipient list not shown: ;
`},
	}
}

// kid is an SMTP server in sh, in a control file.
const kid = `printf '220 ofmipd.local ESMTP\r\n'
while read -r line; do
	line=$(printf %s "$line" | tr -d '\r')
	echo "$line" >>$T/saw
	case $line in
	EHLO*) printf '250-ofmipd.local\r\n250-PIPELINING\r\n250 8BITMIME\r\n' ;;
	BB*) printf '250-one\r\n250 two\r\n' ;;
	HELP*) printf '214 original text\r\n' ;;
	DATA*) printf '354 go\r\n'; read -r line; read -r line; printf '250 took\r\n' ;;
	ENV*) printf '250 %s %s %s\r\n' "$FIXSMTPIOTLS" "$SSL_PROTOCOL" "${UCSPITLS-none}" ;;
	QUIT*) printf '221 ofmipd.local\r\n'; exit 0 ;;
	DIE*) kill -9 $$ ;;
	EXIT*) exit 33 ;;
	*) printf '250 ok\r\n' ;;
	esac
done
`

// fixsmtpioTranscripts are of fixsmtpio, below qmail-authup and without.
func fixsmtpioTranscripts(t *testing.T) []transcript {
	example, err := os.ReadFile(examples + "control/fixsmtpio")
	if err != nil {
		t.Fatal(err)
	}
	seed := smtpAble.with("fixsmtpio", string(example)).with("kid", kid)
	rules := func(lines ...string) control {
		return control{"kid": kid, "fixsmtpio": strings.Join(lines, "\n")}
	}
	const original, login = "fixsmtpio sh $QMAILHOME/control/kid", "S: 220 me.example ESMTP\nC: AUTH PLAIN AHUAcA==\n"
	const in = login + "S: 235 ok, go ahead (#2.0.0)\n"
	const below = "qmail-authup smtp checkpassword "
	session := in + `
			C: EHLO x
			S: 250-me.example
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: AUTH PLAIN AHUAcA==
			S: 502 unimplemented (#5.5.1)
			`
	const hello = "S: 220 ofmipd.local ESMTP\n"
	return []transcript{
		{name: "authup, fixsmtpio, ofmipd as it was", control: seed, chain: below + original, saw: "EHLO x\nNOOP AUTH PLAIN AHUAcA==\n", script: session + "END"},
		{name: "authup, fixsmtpio, ofmipd", control: seed, chain: below + "fixsmtpio qmail-ofmipd", script: session + "C: QUIT\nS: 221 me.example"},
		{name: "authup, fixsmtpio, refused for now", control: seed, chain: below + `fixsmtpio printf '421 nope\r\n'`, exit: 14, script: login + "S: 421 nope"},
		{name: "authup, fixsmtpio, refused", control: seed, chain: below + `fixsmtpio printf '554 nope\r\n'`, exit: 15, script: login + "S: 554 nope"},
		{name: "authup, fixsmtpio, smtpd is tired", control: seed.with("timeoutsmtpd", "1"), chain: below + "fixsmtpio qmail-smtpd", exit: 1, script: in + "S: 451 authup timeout (#4.4.2)"},

		{name: "fixsmtpio, MAIL", control: rules(":mail:AA :*::", ":mail:BB :2*::222 two", ":mail::*::333 three"), chain: original, saw: "BB AA MAIL x\nQUIT\n",
			script: hello + "C: MAIL x\nS: 333-three\nS: 333 three\nC: QUIT\nS: 221 ofmipd.local"},
		{name: "fixsmtpio, HELP", control: rules(":help::*::&fixsmtpio_fixup"), chain: original, saw: "HELP\nEXIT\n", exit: 33,
			script: hello + "C: HELP\nS: 214-fixsmtpio is Postrider's: see fixsmtpio(8)\nS: 214 original text\nC: EXIT"},
		{name: "fixsmtpio, in_data", control: rules(":in_data::250*::250 got it"), chain: original, saw: "DATA\nQUIT\n",
			script: hello + "C: DATA\nS: 354 go\nC+ x\nC: .\nS: 250 got it\nC: QUIT\nS: 221 ofmipd.local"},
		{name: "fixsmtpio, the line's end is part of it", control: rules(":noop::250 ok::250 x"), chain: original, saw: "NOOP\nQUIT\n",
			script: hello + "C: NOOP\nS: 250 ok\nC: QUIT\nS: 221 ofmipd.local"},
		{name: "fixsmtpio, nothing left", control: rules(":ehlo::250*::"), chain: original, saw: "EHLO x\nQUIT\n",
			script: hello + "C: EHLO x\nC: QUIT\nS: 221 ofmipd.local"},
		{name: "fixsmtpio, a rule's exit", control: rules(":rset::2*:42:250 bye"), chain: original, saw: "RSET\n", exit: 42, script: hello + "C: RSET\nS: 250 bye"},
		{name: "fixsmtpio, killed", control: rules(), chain: original, saw: "DIE\n", exit: 1, log: "aack, child crashed", script: hello + "C: DIE"},
		{name: "fixsmtpio, no program", control: rules(), chain: "fixsmtpio /nonexistent/prog", exit: 1},
		{name: "fixsmtpio, no rules", control: rules("nonsense"), chain: original, exit: 18, log: "fixsmtpio: unable to parse control/fixsmtpio"},
		{name: "fixsmtpio, under TLS", control: seed, env: "UCSPITLS=!", chain: "ucspi-tlsd " + original,
			saw: "NOOP fixsmtpio STARTTLS FIRST MAIL x\nNOOP fixsmtpio STARTTLS FIRST HELP\nNOOP fixsmtpio STARTTLS FIRST HELO x\nNOOP\nEHLO x\nNOOP fixsmtpio STARTTLS BEGIN STARTTLS\n" +
				"ENV\nNOOP fixsmtpio STARTTLS AGAIN STARTTLS\nQUIT\n",
			script: `
			S: 220 me.example ESMTP
			C: MAIL x
			S: 530 Must start TLS first (#5.7.0)
			C: HELP
			S: 530 Must start TLS first (#5.7.0)
			C: HELO x
			S: 530 Must start TLS first (#5.7.0)
			C: NOOP
			S: 250 ok
			C: EHLO x
			S: 250-me.example
			S: 250-STARTTLS
			S: 250-PIPELINING
			S: 250 8BITMIME
			C: STARTTLS
			S: 220 Ready to start TLS (#5.7.0)
			TLS
			C: ENV
			S: 250 1 TLSv1.3 none
			C: STARTTLS
			S: 502 unimplemented (#5.5.1)
			C: QUIT
			S: 221 me.example`},
	}
}

// otherTranscripts are of programs that stand between others.
func otherTranscripts() []transcript {
	const filter = `printf '#!/bin/sh\nexec 3<&1\nqmail-qfilter-addtlsheader >$T/filtered && exec bin/qmail-queue <$T/filtered 1<&3\n' >$T/filter; chmod 755 $T/filter; export QMAILQUEUE=$T/filter`
	const hello, mailing = `
			C: EHLO x
			S: 250-me.example
			S: 250-PIPELINING
			S: 250 8BITMIME`, `
			C+ MAIL FROM:<me@here>
			C+ RCPT TO:<you@there>
			C: DATA
			S: 250 ok
			S: 250 ok
			S: 354 go ahead
			C: .
			`
	const envelope = "Fme@here|Tyou@there||"
	return []transcript{
		{name: "checknotroot", chain: "setuidgid qmaild checknotroot sh -c 'id -un >$T/saw; printf \"ok\\r\\n\"; exit 7'", exit: 7, saw: "qmaild\n", user: true, script: "S: ok"},
		{name: "checknotroot, root", chain: "checknotroot echo no", exit: 1, log: "checknotroot: WAS RUNNING AS ROOT, TERMINATING\n"},
		{name: "checknotroot below authup", control: smtpAble, chain: "qmail-authup -t1 smtp checkpassword checknotroot echo no", exit: 1, script: `
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHUAcA==
			S: 535 authup authorization failed (#5.7.0)`},
		{name: "proxy in clear", env: "TCPREMOTEIP=1.2.3.4|TCPLOCALHOST=loc.al", chain: "ucspi-tlsd smtpd-starttls-proxy-io qmail-smtpd", user: true, script: `
			S: 220 me.example ESMTP
			C: EHLO x
			S: 250-me.example
			S: 250-PIPELINING
			S: 250-STARTTLS
			S: 250 8BITMIME` + mailing + `S: 250 ok TIME qp PID
			C: QUIT
			S: 221 me.example`,
			envelope: envelope, message: "Received: from unknown (HELO x) (1.2.3.4)\n  by loc.al with ESMTP; DATE\n"},
		{name: "proxy under TLS", env: "TCPREMOTEIP=1.2.3.4|TCPLOCALHOST=loc.al", chain: "ucspi-tlsd smtpd-starttls-proxy-io qmail-smtpd", script: `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 220 Ready to start TLS
			TLS` + hello + mailing + `S: 250 ok TIME qp PID
			C: QUIT
			S: 221 me.example`,
			envelope: envelope, message: "Received: from unknown (HELO x) (1.2.3.4)\n  by loc.al with ESMTP; DATE\n"},
		{name: "smtpd under TLS, a filter", env: "UCSPITLS=|TCPREMOTEIP=1.2.3.4|TCPLOCALHOST=loc.al", setup: filter, chain: "ucspi-tlsd qmail-smtpd", script: `
			S: 220 me.example ESMTP
			C: STARTTLS
			S: 220 Ready to start TLS (#5.7.0)
			TLS` + hello + mailing + `S: 250 ok TIME qp PID
			C: QUIT
			S: 221 me.example`,
			envelope: envelope, message: "Received: (ucspitls TLSv1.3 TLS_AES_128_GCM_SHA256); DATE\nReceived: from unknown (HELO x) (1.2.3.4)\n  by loc.al with ESMTPS; DATE\n"},
		{name: "submission under TLS, a filter", control: smtpAble, env: "TCPREMOTEIP=1.2.3.4", setup: filter,
			chain: "ucspi-tlsd -t qmail-authup smtp checkpassword checknotroot qmail-ofmipd", script: `
			TLS
			S: 220 me.example ESMTP
			C: AUTH PLAIN AHNvbWVib2R5AHA=
			S: 235 ok, go ahead (#2.0.0)` + hello + mailing + `S: 250 ok
			C: QUIT
			S: 221 me.example`,
			envelope: "Fme@here.me.example|Tyou@there.me.example||", message: `Received: (ucspitls acceptutils authup somebody TLSv1.3 TLS_AES_128_GCM_SHA256); DATE
Received: (ofmipd 1.2.3.4); DATE
Date: DATE
Message-ID: <TIME.1.PID.qmail@me.example>
From: me@here.me.example
Cc: recipient list not shown: ;
`},
	}
}
