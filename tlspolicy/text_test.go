package tlspolicy

import (
	"reflect"
	"strings"
	"testing"
)

func fullPolicy() Policy {
	return Policy{Mode: STS, ServerName: "mx.example.net", Names: []string{"a b", "100%", "grüße", "", "line\nend\r\x00"}, Wildcards: true, ChainOnly: true,
		CommonName: true, Anchors: "/etc/ssl/certs/", Digest: []byte{1, 2, 0xff}, TLSA: []TLSA{{3, 1, 1, []byte{0, 0xab}}, {255, 254, 253, nil}},
		Port: 65535, Implicit: true, PreferTLS: true, Ciphers: "A:B", Depth: 9, Cert: "/c", Key: "/k", KeyPass: " %\x7f pass\nword "}
}

func TestPolicyText(t *testing.T) {
	for _, p := range []Policy{{}, {Mode: Opportunistic}, fullPolicy()} {
		text, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range text {
			if c != '\n' && (c < 0x20 || c > 0x7e) {
				t.Errorf("byte %d is %#x", i, c)
			}
		}
		got := Policy{Mode: DANE, Cert: "of before"}
		if err := got.UnmarshalText(text); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		wantPolicy(t, string(text), got, p)
	}
	const want = "postrider-tlspolicy 1\nmode dane\nsni mx.example\nname mx.example\nwildcards\ntlsa 3,1,1,00ab\nkeypass%20x\n.\n"
	p := Policy{Mode: DANE, ServerName: "mx.example", Names: []string{"mx.example"}, Wildcards: true, TLSA: []TLSA{{3, 1, 1, []byte{0, 0xab}}}, KeyPass: " x"}
	if got, err := p.MarshalText(); err != nil || string(got) != strings.Replace(want, "keypass", "keypass ", 1) {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := (Policy{Mode: STS + 1}).MarshalText(); err == nil {
		t.Error("a mode without a name has a text")
	}
}

// TestPolicyFields: a new field that the text forgot would weaken a policy on
// its way to the helper.
func TestPolicyFields(t *testing.T) {
	v := reflect.ValueOf(fullPolicy())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("fullPolicy has no %s", v.Type().Field(i).Name)
		}
	}
}

func TestBadPolicyText(t *testing.T) {
	const head, tail = "postrider-tlspolicy 1\n", "\n.\n"
	for why, text := range map[string]string{
		"empty":               "",
		"another version":     "postrider-tlspolicy 2\nmode none\n.\n",
		"cut short":           head + "mode dane\nsni mx.examp",
		"cut before the end":  head + "mode verify\n",
		"no mode":             head + "sni a" + tail,
		"nothing":             head + tail,
		"unknown mode":        head + "mode strong" + tail,
		"unknown field":       head + "mode none\nrequire yes" + tail,
		"repeated":            head + "mode none\nmode none" + tail,
		"out of order":        head + "mode none\ncert /c\nsni a" + tail,
		"value for a flag":    head + "mode none\nimplicit no" + tail,
		"zero port":           head + "mode none\nport 0" + tail,
		"port too large":      head + "mode none\nport 65536" + tail,
		"port with a plus":    head + "mode none\nport +25" + tail,
		"needless escape":     head + "mode none\nsni %41" + tail,
		"escape in lower":     head + "mode none\nsni %ff" + tail,
		"half an escape":      head + "mode none\nsni a%4" + tail,
		"no escape":           head + "mode none\nsni %GG" + tail,
		"raw space":           head + "mode none\nsni a b" + tail,
		"digest in upper":     head + "mode none\ndigest AB" + tail,
		"TLSA short":          head + "mode none\ntlsa 3,1,1" + tail,
		"TLSA number":         head + "mode none\ntlsa 3,1,256,ab" + tail,
		"TLSA data":           head + "mode none\ntlsa 3,1,1,a" + tail,
		"empty value":         head + "mode none\nsni " + tail,
		"more after the end":  head + "mode none" + tail + "x",
		"empty line":          head + "mode none\n" + tail,
		"CRLF":                strings.ReplaceAll(head+"mode none"+tail, "\n", "\r\n"),
		"negative depth text": head + "mode none\ndepth x" + tail,
	} {
		p := Policy{Mode: Verify, Anchors: "/a"}
		if err := p.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: %q is %+v", why, text, p)
		}
		wantPolicy(t, why+" must leave the policy alone", p, Policy{Mode: Verify, Anchors: "/a"})
	}
}

func FuzzPolicyText(f *testing.F) {
	for _, p := range []Policy{{}, fullPolicy()} {
		text, _ := p.MarshalText()
		f.Add(text, "a\n%", 3)
	}
	f.Fuzz(func(t *testing.T, text []byte, s string, n int) {
		var p Policy
		if err := p.UnmarshalText(text); err == nil {
			again, err := p.MarshalText()
			if err != nil || string(again) != string(text) {
				t.Fatalf("%q became %q, %v", text, again, err)
			}
		}
		p = Policy{Mode: Mode(uint(n) % 7), Names: []string{s, s}, Anchors: s, Depth: n, Port: uint16(n), KeyPass: s, TLSA: []TLSA{{1, 2, 3, []byte(s)}}}
		if s == "" {
			p.TLSA[0].Data = nil
		}
		made, err := p.MarshalText()
		if err != nil {
			t.Fatal(err)
		}
		var q Policy
		if err := q.UnmarshalText(made); err != nil || !reflect.DeepEqual(p, q) {
			t.Fatalf("%+v became %+v, %v", p, q, err)
		}
	})
}
