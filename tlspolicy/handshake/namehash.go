package handshake

import (
	"bytes"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/binary"
	"slices"
	"strconv"
	"unicode/utf16"

	"postrider/internal/ascii"
)

// maxNameDER is the longest name that is hashed; appendDER writes no longer ones.
const maxNameDER = 1 << 14

// nameHash is what "openssl x509 -subject_hash" prints of a name, DER, and what
// files are called in a hashed directory: the first four bytes, as a little-
// endian number, of the SHA-1 of the name's canonical form; "" if it is no name.
//
// The canonical form has each string as UTF-8, in lower case, with white space
// trimmed and single, and no SEQUENCE around the whole.
func nameHash(name []byte) string {
	var outer asn1.RawValue
	if _, err := asn1.Unmarshal(name, &outer); err != nil || len(name) > maxNameDER {
		return ""
	}
	var canonical []byte
	for rest := outer.Bytes; len(rest) > 0; {
		var set asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &set); err != nil {
			return ""
		}
		rdn, ok := canonicalRDN(set.Bytes)
		if !ok {
			return ""
		}
		canonical = appendDER(canonical, 0x31, rdn)
	}
	sum := sha1.Sum(canonical)
	hex := strconv.FormatUint(uint64(binary.LittleEndian.Uint32(sum[:])), 16)
	return "00000000"[len(hex):] + hex
}

// canonicalRDN is the contents of one RelativeDistinguishedName, its attributes
// in the order of DER.
func canonicalRDN(rest []byte) ([]byte, bool) {
	var attributes [][]byte
	for len(rest) > 0 {
		var attribute, kind, value asn1.RawValue
		var err error
		if rest, err = asn1.Unmarshal(rest, &attribute); err != nil {
			return nil, false
		}
		after, err := asn1.Unmarshal(attribute.Bytes, &kind)
		if err != nil {
			return nil, false
		}
		if _, err := asn1.Unmarshal(after, &value); err != nil {
			return nil, false
		}
		der := slices.Clone(kind.FullBytes)
		if text, ok := utf8Of(value); ok {
			der = appendDER(der, asn1.TagUTF8String, canonicalText(text))
		} else {
			der = append(der, value.FullBytes...)
		}
		attributes = append(attributes, appendDER(nil, 0x30, der))
	}
	slices.SortFunc(attributes, bytes.Compare)
	return slices.Concat(attributes...), true
}

// utf8Of is a string of any of the types that take part in the comparison.
func utf8Of(v asn1.RawValue) ([]byte, bool) {
	if v.Class != asn1.ClassUniversal {
		return nil, false
	}
	switch v.Tag {
	case asn1.TagUTF8String, asn1.TagPrintableString, asn1.TagIA5String, 26: // VisibleString
		return v.Bytes, true
	case asn1.TagT61String: // taken for Latin-1, as everybody does
		out := make([]rune, len(v.Bytes))
		for i, b := range v.Bytes {
			out[i] = rune(b)
		}
		return []byte(string(out)), true
	case asn1.TagBMPString:
		units := make([]uint16, len(v.Bytes)/2)
		for i := range units {
			units[i] = binary.BigEndian.Uint16(v.Bytes[2*i:])
		}
		return []byte(string(utf16.Decode(units))), true
	}
	return nil, false
}

func canonicalText(s []byte) []byte {
	out := make([]byte, 0, len(s))
	for _, word := range bytes.FieldsFunc(s, func(r rune) bool { return r == ' ' || '\t' <= r && r <= '\r' }) {
		if len(out) > 0 {
			out = append(out, ' ')
		}
		for _, c := range word {
			out = append(out, ascii.Lower(c))
		}
	}
	return out
}

// appendDER appends one value with a one-byte tag.
func appendDER(b []byte, tag byte, contents []byte) []byte {
	n := len(contents)
	switch b = append(b, tag); {
	case n < 0x80:
		b = append(b, byte(n))
	case n < 0x100:
		b = append(b, 0x81, byte(n))
	default:
		b = append(b, 0x82, byte(n>>8), byte(n))
	}
	return append(b, contents...)
}
