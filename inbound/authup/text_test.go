package authup

import (
	"strings"
	"testing"

	"postrider/inbound"
)

// Each text in full, as either protocol says it, also those for which a system
// would have to fail.
func TestTexts(t *testing.T) {
	for want, r := range map[string]reply{
		"421 authup unable to read controls (#4.3.0)|-ERR authup unable to read controls|-ERR unable to read controls":                   noControls,
		"451 authup timeout (#4.4.2)|-ERR authup timeout|-ERR timeout":                                                                   timedOut,
		"454 authup unable to open pipe (#4.3.0)|-ERR authup unable to open pipe|-ERR unable to open pipe":                               noPipe,
		"454 authup unable to read pipe (#4.3.0)|-ERR authup unable to read pipe|-ERR unable to read pipe":                               noRead,
		"454 authup unable to write pipe (#4.3.0)|-ERR authup unable to write pipe|-ERR unable to write pipe":                            noWrite,
		"454 authup unable to fork (#4.3.0)|-ERR authup unable to fork|-ERR unable to fork":                                              noFork,
		"454 authup unable to wait for child (#4.3.0)|-ERR authup unable to wait for child|-ERR unable to wait for child":                noWait,
		"454 authup aack, child crashed (#4.3.0)|-ERR authup aack, child crashed|-ERR aack, child crashed":                               crashed,
		"501 authup protocol exchange ended (#5.0.0)|-ERR authup protocol exchange ended|-ERR protocol exchange ended":                   noSense,
		"454 authup TLS temporarily not available (#5.7.3)|-ERR authup TLS temporarily not available|-ERR TLS temporarily not available": noTLS,
		"535 authup authorization failed (#5.7.0)|-ERR authup authorization failed|-ERR authorization failed":                            badAuth,
		"501 authup malformed auth input (#5.5.4)|-ERR authup malformed auth input|-ERR malformed auth input":                            malformed,
		"501 authup auth exchange cancelled (#5.0.0)|-ERR authup auth exchange cancelled|-ERR auth exchange cancelled":                   cancelled,
		"504 authup auth type unimplemented (#5.5.1)|-ERR authup auth type unimplemented|-ERR auth type unimplemented":                   noSuchAuth,
		"530 authup Must start TLS first (#5.7.0)|-ERR authup Must start TLS first|-ERR Must start TLS first":                            wantTLS,
		"530 authup authentication required (#5.7.1)|-ERR authup authentication required|-ERR authentication required":                   wantAuth,
		" authup authorization first (#)|-ERR authup authorization first|-ERR authorization first":                                       wantLogin,
		" authup USER first (#)|-ERR authup USER first|-ERR USER first":                                                                  wantUser,
		" authup syntax error (#)|-ERR authup syntax error|-ERR syntax error":                                                            badSyntax,
	} {
		var got []string
		for _, c := range []Config{{}, {Protocol: POP3}, {Protocol: POP3, Popup: true}} {
			var said strings.Builder
			s := session{Config: c, conn: inbound.NewConn(struct {
				*strings.Reader
				*strings.Builder
			}{strings.NewReader(""), &said})}
			s.tell(r)
			s.conn.Flush()
			got = append(got, strings.TrimSuffix(said.String(), "\r\n"))
		}
		if got := strings.Join(got, "|"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
