package relay

import (
	"encoding/binary"
	"strings"
	"testing"
)

// tcp makes a packet from its flags (S, A, F) and payload.
func tcp(src, dst uint16, flags, payload string) []byte {
	p := make([]byte, 40, 40+len(payload))
	p[0], p[9] = 0x45, 6
	binary.BigEndian.PutUint16(p[2:], uint16(40+len(payload)))
	binary.BigEndian.PutUint16(p[20:], src)
	binary.BigEndian.PutUint16(p[22:], dst)
	p[32] = 5 << 4
	for _, f := range flags {
		p[33] |= map[rune]byte{'F': 1, 'S': 2, 'A': 16}[f]
	}
	return append(p, payload...)
}

func TestFlights(t *testing.T) {
	const client, server = 40000, 25
	for name, c := range map[string]struct {
		talk string // packets, "> " from the client; "> SYN" and "> ." (an acknowledgement)
		want int
	}{
		"a handshake is one":               {"> SYN|< SYN|> .", 1},
		"the greeting answers its end":     {"> SYN|< SYN|> .|< 220|> EHLO", 2},
		"acknowledgements are no speech":   {"> SYN|< SYN|> .|< 220|> .|< 250", 1},
		"nor are they answers":             {"> SYN|< SYN|> .|< .|< .|> EHLO", 1},
		"many packets are one flight":      {"> SYN|< SYN|> .|< 220|> EHLO|< 250-|< 250|> body|> body|> body|< 250|> FIN", 4},
		"what nobody answers is none":      {"> SYN|< SYN|> .|< 220|> EHLO|< 250|> alert|> FIN", 3},
		"nor what nobody waits for":        {"> SYN|< SYN|> .|< 220|> EHLO|< 250|> QUIT|> FIN|< 221|> FIN", 3},
		"QUIT along with the end is none":  {"> SYN|< SYN|> .|< 220|> body, QUIT|< 250, 221|> FIN", 3},
		"a SYN sent again is the same one": {"> SYN|> SYN|< SYN|< SYN|> .", 1},
		"answers of a stranger are none":   {"< 220|> EHLO|< 250", 0},
	} {
		f := flights{flows: map[uint16]*flow{}}
		for _, p := range strings.Split(c.talk, "|") {
			flags, payload := "A", p[2:]
			switch payload {
			case "SYN":
				flags, payload = "S", ""
			case "FIN":
				flags, payload = "FA", ""
			case ".":
				payload = ""
			}
			if p[0] == '>' {
				f.fromClient(tcp(client, server, flags, payload))
			} else {
				f.fromServer(tcp(server, client, flags, payload))
			}
		}
		if f.Flights != c.want {
			t.Errorf("%s: %d, want %d", name, f.Flights, c.want)
		}
	}
}

func FuzzParseSegment(f *testing.F) {
	f.Add(tcp(1, 2, "S", ""))
	f.Add(tcp(1, 2, "A", "payload"))
	f.Add([]byte{0x45})
	f.Fuzz(func(t *testing.T, p []byte) {
		if s, ok := parseSegment(p); ok && len(s.payload) > len(p)-40 {
			t.Errorf("%d bytes of payload in a packet of %d", len(s.payload), len(p))
		}
	})
}
