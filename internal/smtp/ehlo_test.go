package smtp

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

const ehloReply = "250-mx.example.net\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-ETRN\r\n250-STARTTLS\r\n" +
	"250-AUTH PLAIN LOGIN\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-DSN\r\n250-SMTPUTF8\r\n250 CHUNKING\r\n"

// ehlo reads what a server says to EHLO.
func ehlo(t *testing.T, said string) Reply {
	t.Helper()
	r, err := NewReader(strings.NewReader(said)).ReadEHLO()
	if err != nil {
		t.Fatalf("%.40q: %v", said, err)
	}
	return r
}

func TestParseExtensions(t *testing.T) {
	sized := func(n uint64) Extensions { return Extensions{ESMTP: true, HasSize: true, Size: n} }
	auth := func(names ...string) Extensions { return Extensions{ESMTP: true, Auth: names} }
	none := Extensions{ESMTP: true}
	for _, group := range []struct {
		reason string
		cases  map[string]Extensions
	}{
		{"each keyword", map[string]Extensions{
			"STARTTLS":   {ESMTP: true, StartTLS: true},
			"PIPELINING": {ESMTP: true, Pipelining: true},
			"8BITMIME":   {ESMTP: true, EightBitMIME: true},
			"SMTPUTF8":   {ESMTP: true, SMTPUTF8: true},
			"CHUNKING":   {ESMTP: true, Chunking: true},
			"REQUIRETLS": {ESMTP: true, RequireTLS: true},
			"SIZE 1000":  sized(1000),
			"AUTH PLAIN": auth("PLAIN"),
		}},
		{"C33: case and blanks", map[string]Extensions{
			"starttls":          {ESMTP: true, StartTLS: true},
			"PipeLining":        {ESMTP: true, Pipelining: true},
			"  STARTTLS":        {ESMTP: true, StartTLS: true},
			"\tSTARTTLS\t ":     {ESMTP: true, StartTLS: true},
			"STARTTLS\r":        {ESMTP: true, StartTLS: true},
			"size\t1000":        sized(1000),
			"SIZE   1000  ":     sized(1000),
			"SIZE 1000\r":       sized(1000),
			"8BITMIME whatever": {ESMTP: true, EightBitMIME: true},
		}},
		{"what is not offered", map[string]Extensions{
			"":                      none,
			" ":                     none,
			"=":                     none,
			"= STARTTLS":            none,
			"=AUTH LOGIN":           none,
			"XSTARTTLS":             none,
			"STARTTLSX":             none,
			"X STARTTLS":            none,
			"START TLS":             none,
			"STARTTL\u017f":         none, // Unicode folds this onto S
			"CHUN\u212aING":         none, // and this onto K
			"\x00STARTTLS":          none,
			"XXXXXXXA":              none,
			"HELP STARTTLS":         none,
			strings.Repeat("A", 99): none,
		}},
		{"C33: SIZE", map[string]Extensions{
			"SIZE":                        sized(0),
			"SIZE ":                       sized(0),
			"SIZE 0":                      sized(0),
			"SIZE abc":                    sized(0),
			"SIZE 1e30":                   sized(0),
			"SIZE -1":                     sized(0),
			"SIZE +1000":                  sized(0),
			"SIZE 1_000":                  sized(0),
			"SIZE 0x10":                   sized(0),
			"SIZE 99999999999999999999":   sized(0),
			"SIZE 18446744073709551615":   sized(1<<64 - 1),
			"SIZE 0001000":                sized(1000),
			"SIZE=1000":                   sized(1000),
			"SIZE= 1000":                  sized(1000),
			"SIZE 1000 2000":              sized(1000),
			"SIZE 1000\r\n250-SIZE 2000":  sized(2000),
			"SIZE 2000\r\n250-SIZE 1000":  sized(2000),
			"SIZE 2000\r\n250-SIZE what":  sized(0),
			"SIZE\r\n250-SIZE 1000":       sized(0),
			"SIZE 1000\r\n250-size 1000 ": sized(1000),
		}},
		{"C33: AUTH", map[string]Extensions{
			"AUTH":                                    none,
			"AUTH=":                                   none,
			"AUTH = ":                                 none,
			"AUTH=LOGIN":                              auth("LOGIN"),
			"AUTH =LOGIN":                             auth("LOGIN"),
			"AUTH= LOGIN":                             auth("LOGIN"),
			"auth login plain":                        auth("LOGIN", "PLAIN"),
			"AUTH\tLOGIN \t PLAIN ":                   auth("LOGIN", "PLAIN"),
			"AUTH LOGIN PLAIN\r\n250-AUTH=LOGIN":      auth("LOGIN", "PLAIN"),
			"AUTH=LOGIN\r\n250-AUTH PLAIN LOGIN":      auth("LOGIN", "PLAIN"),
			"AUTH PLAIN plain Plain":                  auth("PLAIN"),
			"AUTH SCRAM-SHA-256-PLUS X_1":             auth("SCRAM-SHA-256-PLUS", "X_1"),
			"AUTH PL\xc3\xa4IN LOGIN;x":               none,
			"AUTH " + strings.Repeat("A", 21) + " ok": auth("OK"),
		}},
	} {
		for line, want := range group.cases {
			said := "250-mx.example\r\n250-" + line + "\r\n250 HELP\r\n"
			if got := ParseExtensions(ehlo(t, said)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %q: %+v, want %+v", group.reason, line, got, want)
			}
		}
	}
}

func TestGreetingIsNoKeyword(t *testing.T) {
	for said, want := range map[string]Extensions{
		"250 STARTTLS\r\n":                   {ESMTP: true},
		"250-STARTTLS\r\n250 PIPELINING\r\n": {ESMTP: true, Pipelining: true},
		"250-mx\r\n250\r\n":                  {ESMTP: true},
		"550-mx\r\n550 STARTTLS\r\n":         {},
	} {
		if got := ParseExtensions(ehlo(t, said)); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v", said, got)
		}
	}
	if got := ParseExtensions(Reply{}); !reflect.DeepEqual(got, Extensions{}) {
		t.Errorf("no reply: %+v", got)
	}
}

func TestRealReply(t *testing.T) {
	want := Extensions{ESMTP: true, StartTLS: true, Pipelining: true, EightBitMIME: true, SMTPUTF8: true,
		Chunking: true, HasSize: true, Size: 52428800, Auth: []string{"PLAIN", "LOGIN"}}
	if got := ParseExtensions(ehlo(t, ehloReply)); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// C33: a flood is survived, and what is real in it is found.
func TestManyKeywords(t *testing.T) {
	var b strings.Builder
	b.WriteString("250-mx\r\n")
	for i := range 5000 {
		fmt.Fprintf(&b, "250-AUTH X%d Y%d Z\r\n", i, i)
	}
	b.WriteString("250 STARTTLS\r\n")
	got := ParseExtensions(ehlo(t, b.String()))
	if !got.StartTLS || len(got.Auth) != maxMechanisms || got.Auth[0] != "X0" {
		t.Errorf("STARTTLS %v, %d mechanisms", got.StartTLS, len(got.Auth))
	}
}

func FuzzExtensions(f *testing.F) {
	f.Add(ehloReply)
	f.Add("250-a\r\n250-AUTH==LOGIN\r\n250 SIZE 1e30\r\n")
	f.Fuzz(func(t *testing.T, in string) {
		// Lines as they are, too: the parser must not count on the reader.
		got := ParseExtensions(Reply{Code: 250, Lines: strings.Split(in, "\n")})
		if len(got.Auth) > maxMechanisms || got.Size != 0 && !got.HasSize || !got.ESMTP {
			t.Fatalf("%+v", got)
		}
		for _, name := range got.Auth {
			if !isMechanism(name) || name != strings.ToUpper(name) {
				t.Fatalf("mechanism %q", name)
			}
		}
		for _, swap := range []func(string) string{strings.ToLower, strings.ToUpper} {
			if !isASCII(in) {
				break
			}
			if other := ParseExtensions(Reply{Code: 250, Lines: strings.Split(swap(in), "\n")}); !reflect.DeepEqual(got, other) {
				t.Fatalf("case matters: %+v, %+v", got, other)
			}
		}
		if r, err := NewReader(strings.NewReader(in)).ReadEHLO(); err == nil {
			ParseExtensions(r)
		} else if err == io.EOF && in != "" {
			t.Fatal("nothing heard")
		}
	})
}

func isASCII(s string) bool { return !hasEightBit([]byte(s)) }

func BenchmarkParseExtensions(b *testing.B) {
	r, err := NewReader(strings.NewReader(ehloReply)).ReadEHLO()
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		ParseExtensions(r)
	}
}
