package smtpc

import (
	"context"
	"encoding/base64"
	"net"
	"strings"
	"testing"
	"time"

	"postrider/internal/smtp"
)

func b64(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func offersAuth(mechanisms string) string {
	return "> EHLO me.example\n< 250-mx\n< 250 AUTH " + mechanisms + "\n"
}

func TestAuth(t *testing.T) {
	var (
		tls     = smtp.Security{Version: "TLSv1.3"}
		user    = Credentials{User: "joe", Password: "pw"}
		clear   = Credentials{User: "joe", Password: "pw", Clear: true}
		oauth   = Credentials{User: "joe", Password: "oauth:tok"}
		plain   = "> AUTH PLAIN " + b64("\x00joe\x00pw") + "\n"
		bearer  = "> AUTH OAUTHBEARER " + b64("n,a=joe,\x01auth=Bearer tok\x01\x01") + "\n"
		xoauth2 = "> AUTH XOAUTH2 " + b64("user=joe\x01auth=Bearer tok\x01\x01") + "\n"
		cram    = "> AUTH CRAM-MD5\n< 334 " + b64("<1896.697170952@postoffice.reston.mci.net>") + "\n"
		tim     = Credentials{User: "tim", Password: "tanstaaftanstaaf"} // RFC 2195 §2
		long    = Credentials{User: "joe", Password: strings.Repeat("p", 400)}
	)
	for _, tt := range []struct {
		name   string
		tls    smtp.Security
		cr     Credentials
		script string
		want   string
	}{
		{"PLAIN", tls, user, offersAuth("LOGIN PLAIN CRAM-MD5") + plain + "< 235 ok", ""},
		{"PLAIN in clear, allowed", smtp.Security{}, clear, offersAuth("PLAIN") + plain + "< 235 ok", ""},
		{"PLAIN in clear", smtp.Security{}, user, offersAuth("PLAIN LOGIN"), "AUTH would reveal the password"},
		{"PLAIN refused", tls, user, offersAuth("PLAIN") + plain + "< 535 no", "AUTH 535"},
		{"PLAIN for now", tls, user, offersAuth("PLAIN") + plain + "< 454 no", "AUTH 454"},
		{"PLAIN nonsense", tls, user, offersAuth("PLAIN") + plain + "< 250 ok", "AUTH garbled 250"},
		{"PLAIN closed", tls, user, offersAuth("PLAIN") + plain + "!close", "AUTH dropped"},
		{"PLAIN silent", tls, user, offersAuth("PLAIN") + plain + "!stall", "AUTH timed out"},
		{"PLAIN challenged", tls, user, offersAuth("PLAIN") + plain + "< 334 aGk=\n> *\n< 501 ok", "AUTH garbled 334"},
		{"PLAIN too long for a command", tls, long, offersAuth("PLAIN") +
			"> AUTH PLAIN\n< 334 \n> " + b64("\x00joe\x00"+long.Password) + "\n< 235 ok", ""},
		{"LOGIN", tls, user, offersAuth("LOGIN CRAM-MD5") +
			"> AUTH LOGIN\n< 334 " + b64("User Name\x00") + "\n> " + b64("joe") + "\n< 334 " + b64("Password\x00") + "\n> " + b64("pw") + "\n< 235 ok", ""},
		{"LOGIN without end", tls, user, offersAuth("LOGIN") +
			"> AUTH LOGIN\n< 334 \n> " + b64("joe") + "\n< 334 \n> " + b64("pw") + "\n< 334 \n> *\n< 501 ok", "AUTH garbled 334"},
		{"CRAM-MD5", smtp.Security{}, tim, offersAuth("PLAIN CRAM-MD5") + cram +
			"> " + b64("tim b913a602c7eda7a495b4e6e7334d3890") + "\n< 235 ok", ""},
		{"CRAM-MD5 no base64", smtp.Security{}, tim, offersAuth("CRAM-MD5") + "> AUTH CRAM-MD5\n< 334 @@\n> *\n< 501 ok", "AUTH garbled 334"},
		{"not offered", tls, user, "> EHLO me.example\n< 250 mx", "AUTH no mechanism"},
		{"only others", tls, user, offersAuth("GSSAPI NTLM XOAUTH2"), "AUTH no mechanism"},
		{"OAUTHBEARER", tls, oauth, offersAuth("PLAIN XOAUTH2 OAUTHBEARER") + bearer + "< 235 ok", ""},
		{"OAUTHBEARER refused", tls, oauth, offersAuth("OAUTHBEARER") + bearer +
			"< 334 " + b64(`{"status":"401"}`) + "\n> AQ==\n< 535 no", "AUTH 535"},
		{"XOAUTH2", tls, oauth, offersAuth("PLAIN XOAUTH2") + xoauth2 + "< 235 ok", ""},
		{"XOAUTH2 refused", tls, oauth, offersAuth("XOAUTH2") + xoauth2 + "< 334 " + b64(`{"status":"400"}`) + "\n<+ \"\"\n>+ \"\\r\\n\"\n< 535 no", "AUTH 535"},
		{"a token is no password", tls, oauth, offersAuth("PLAIN LOGIN"), "AUTH no mechanism"},
		{"a token in clear", smtp.Security{}, oauth, offersAuth("OAUTHBEARER"), "AUTH would reveal the password"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				c := New(conn, Params{Helo: "me.example", Timeout: time.Minute, TLS: tt.tls})
				defer c.Quit()
				if err := c.Hello(context.Background()); err != nil {
					t.Fatal(err)
				}
				if got := failure(t, c.Auth(context.Background(), tt.cr)); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// The exchange of RFC 7677 §3, and what a server can do to it.
func TestSCRAM(t *testing.T) {
	const (
		nonce     = "rOprNGfwEbeRWgbNEkqO"
		first     = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
		final     = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
		signature = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
	)
	start := offersAuth("PLAIN SCRAM-SHA-256") + "> AUTH SCRAM-SHA-256 " + b64("n,,n=user,r="+nonce) + "\n< 334 "
	answered := start + b64(first) + "\n> " + b64(final) + "\n"
	const cancelled = "\n> *\n< 501 ok"
	for _, tt := range []struct{ name, script, want string }{
		{"proven", answered + "< 334 " + b64(signature) + "\n>+ \"\\r\\n\"\n< 235 ok", ""},
		{"refused", answered + "< 535 no", "AUTH 535"},
		{"says error", answered + "< 334 " + b64("e=invalid-proof") + cancelled, "AUTH garbled 334"},
		{"not proven", answered + "< 235 ok\n!close", "AUTH garbled 235"},
		{"not proven at once", start[:len(start)-4] + "235 ok\n!close", "AUTH garbled 235"},
		{"wrong signature", answered + "< 334 " + b64("v=AAAA") + cancelled, "AUTH garbled 334"},
		{"no signature", answered + "< 334 " + cancelled, "AUTH garbled 334"},
		{"goes on", answered + "< 334 " + b64(signature) + "\n>+ \"\\r\\n\"\n< 334 " + cancelled, "AUTH garbled 334"},
		{"nonce not ours", start + b64("r=x,s=W22Z,i=4096") + cancelled, "AUTH garbled 334"},
		{"nonce only ours", start + b64("r="+nonce+",s=W22Z,i=4096") + cancelled, "AUTH garbled 334"},
		{"too few iterations", start + b64("r="+nonce+"x,s=W22Z,i=4095") + cancelled, "AUTH garbled 334"},
		{"too many iterations", start + b64("r="+nonce+"x,s=W22Z,i=1000001") + cancelled, "AUTH garbled 334"},
		{"negative iterations", start + b64("r="+nonce+"x,s=W22Z,i=-1") + cancelled, "AUTH garbled 334"},
		{"no salt", start + b64("r="+nonce+"x,s=,i=4096") + cancelled, "AUTH garbled 334"},
		{"bad salt", start + b64("r="+nonce+"x,s=@,i=4096") + cancelled, "AUTH garbled 334"},
		{"mandatory extension", start + b64("m=x,r="+nonce+"x,s=W22Z,i=4096") + cancelled, "AUTH garbled 334"},
		{"empty", start + cancelled, "AUTH garbled 334"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			against(t, tt.script, func(t *testing.T, conn net.Conn) {
				c := New(conn, Params{Helo: "me.example", Timeout: time.Minute})
				defer c.Quit()
				if err := c.Hello(context.Background()); err != nil {
					t.Fatal(err)
				}
				client := newSCRAM("user", "pencil")
				client.nonce = nonce
				end := c.prove(client)
				if got := failure(t, asError(end)); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// SCRAM is the first choice where a password may not be shown, and where it may.
func TestSCRAMIsPreferred(t *testing.T) {
	for _, clear := range []bool{false, true} {
		c := &Conn{ext: smtp.Extensions{Auth: []string{"PLAIN", "CRAM-MD5", "SCRAM-SHA-256"}}}
		client, _ := c.mechanism(Credentials{User: "a=b,c", Password: "pw", Clear: clear})
		name, first, err := client.Start()
		if name != "SCRAM-SHA-256" || err != nil || !strings.HasPrefix(string(first), "n,,n=a=3Db=2Cc,r=") {
			t.Errorf("got %s %q, %v", name, first, err)
		}
	}
}
