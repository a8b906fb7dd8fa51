package tlspolicy

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
)

// textHeader is the first line of a policy's text; the number changes with
// the meaning of what follows.
const textHeader = "postrider-tlspolicy 1"

// MarshalText writes a policy for another process of the same installation, as
// lines "key value" between a header and a lone ".", which shows that nothing
// was cut off. Zero values are left out. Each policy has exactly one text.
//
// The text holds KeyPass: it may travel over a pipe, not in an environment
// variable or an argument, which other users can read.
func (p Policy) MarshalText() ([]byte, error) { return p.AppendText(make([]byte, 0, 256)) }

// AppendText appends what MarshalText gives.
func (p Policy) AppendText(b []byte) ([]byte, error) {
	if p.Mode > STS {
		return b, errors.New("tlspolicy: mode " + strconv.Itoa(int(p.Mode)) + " has no name")
	}
	b = append(b, textHeader...)
	b = appendField(b, "mode", p.Mode.String())
	b = appendText(b, "sni", p.ServerName)
	for _, n := range p.Names {
		b = appendField(b, "name", n)
	}
	b = appendFlag(b, "wildcards", p.Wildcards)
	b = appendFlag(b, "chainonly", p.ChainOnly)
	b = appendFlag(b, "commonname", p.CommonName)
	b = appendText(b, "anchors", p.Anchors)
	b = appendText(b, "digest", hex.EncodeToString(p.Digest))
	for _, rr := range p.TLSA {
		b = appendField(b, "tlsa", rr.text())
	}
	b = appendNumber(b, "port", int(p.Port))
	b = appendFlag(b, "implicit", p.Implicit)
	b = appendFlag(b, "prefertls", p.PreferTLS)
	b = appendText(b, "ciphers", p.Ciphers)
	b = appendNumber(b, "depth", p.Depth)
	b = appendText(b, "cert", p.Cert)
	b = appendText(b, "key", p.Key)
	b = appendText(b, "keypass", p.KeyPass)
	return append(b, "\n.\n"...), nil
}

// UnmarshalText reads what MarshalText wrote, and nothing else: a field too
// many, in the wrong order or unknown is an error, as it could be one that
// asked for more protection. p is untouched then.
func (p *Policy) UnmarshalText(text []byte) error {
	body, ok := strings.CutPrefix(string(text), textHeader+"\n")
	if !ok {
		return errors.New("tlspolicy: not a policy of this version")
	}
	body, ok = strings.CutSuffix(body, "\n.\n")
	if !ok {
		return errors.New("tlspolicy: policy cut short")
	}
	var q Policy
	for _, line := range strings.Split(body, "\n") {
		key, value, _ := strings.Cut(line, " ")
		value, err := unescape(value)
		if err == nil {
			err = q.set(key, value)
		}
		if err != nil {
			return err
		}
	}
	// One text to a policy: whatever differs from it is order, repetition or
	// spelling that we do not write.
	if again, err := q.MarshalText(); err != nil || !bytes.Equal(again, text) {
		return errors.New("tlspolicy: policy not as we write it")
	}
	*p = q
	return nil
}

// set takes one line into a policy.
func (p *Policy) set(key, value string) (err error) {
	switch key {
	case "mode":
		p.Mode, err = parseMode(value)
	case "sni":
		p.ServerName = value
	case "name":
		p.Names = append(p.Names, value)
	case "wildcards":
		p.Wildcards = true
	case "chainonly":
		p.ChainOnly = true
	case "commonname":
		p.CommonName = true
	case "anchors":
		p.Anchors = value
	case "digest":
		p.Digest, err = hex.DecodeString(value)
	case "tlsa":
		var rr TLSA
		rr, err = parseTLSA(value)
		p.TLSA = append(p.TLSA, rr)
	case "port":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 16)
		p.Port = uint16(n)
	case "implicit":
		p.Implicit = true
	case "prefertls":
		p.PreferTLS = true
	case "ciphers":
		p.Ciphers = value
	case "depth":
		p.Depth, err = strconv.Atoi(value)
	case "cert":
		p.Cert = value
	case "key":
		p.Key = value
	case "keypass":
		p.KeyPass = value
	default:
		err = errors.New("tlspolicy: unknown field in a policy")
	}
	return err
}

func parseMode(s string) (Mode, error) {
	for m := None; m <= STS; m++ {
		if m.String() == s {
			return m, nil
		}
	}
	return None, errors.New("tlspolicy: unknown mode in a policy")
}

// text is a record as in a zone file, with commas: "3,1,1,0123ab".
func (rr TLSA) text() string {
	b := make([]byte, 0, 12+2*len(rr.Data))
	for _, n := range [...]uint8{rr.Usage, rr.Selector, rr.Matching} {
		b = append(strconv.AppendUint(b, uint64(n), 10), ',')
	}
	return string(hex.AppendEncode(b, rr.Data))
}

func parseTLSA(s string) (rr TLSA, err error) {
	f := strings.Split(s, ",")
	if len(f) != 4 {
		return TLSA{}, errors.New("tlspolicy: TLSA record in a policy has not four fields")
	}
	for i, n := range [...]*uint8{&rr.Usage, &rr.Selector, &rr.Matching} {
		v, err := strconv.ParseUint(f[i], 10, 8)
		if err != nil {
			return TLSA{}, err
		}
		*n = uint8(v)
	}
	if f[3] != "" {
		rr.Data, err = hex.DecodeString(f[3])
	}
	return rr, err
}

func appendFlag(b []byte, key string, set bool) []byte {
	if !set {
		return b
	}
	return append(append(b, '\n'), key...)
}

func appendNumber(b []byte, key string, n int) []byte {
	if n == 0 {
		return b
	}
	return appendField(b, key, strconv.Itoa(n))
}

func appendText(b []byte, key, value string) []byte {
	if value == "" {
		return b
	}
	return appendField(b, key, value)
}

// appendField writes a value with "%" and all that is not visible ASCII as %XX.
func appendField(b []byte, key, value string) []byte {
	b = append(append(append(b, '\n'), key...), ' ')
	for i := range len(value) {
		c := value[i]
		if c > 0x20 && c < 0x7f && c != '%' {
			b = append(b, c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b = append(b, '%', digits[c>>4], digits[c&15])
	}
	return b
}

func unescape(s string) (string, error) {
	if strings.IndexByte(s, '%') < 0 {
		return s, nil
	}
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		if s[0] != '%' {
			b, s = append(b, s[0]), s[1:]
			continue
		}
		if len(s) < 3 {
			return "", errors.New("tlspolicy: policy has half an escape")
		}
		c, err := hex.DecodeString(s[1:3])
		if err != nil {
			return "", err
		}
		b, s = append(b, c[0]), s[3:]
	}
	return string(b), nil
}
