package relay

import "encoding/binary"

// flights counts, from the packets that pass the relay, how often a client spoke,
// was answered, and went on: round trips, whatever they carried. What was said
// last, QUIT or an alert, is none, for nobody waited. Its zero value is not ready;
// its owner is whoever holds the relay's lock.
type flights struct {
	flows map[uint16]*flow // by the client's port
	Counts
}

// flow is one TCP connection.
type flow struct {
	state
	acked bool // the handshake is complete
}

// state is whose turn it is.
//
//	state     client speaks   client ends   server speaks
//	quiet     spoken          over          quiet
//	spoken    spoken          over          answered
//	answered  spoken (+1)     over (+1)     answered
type state uint8

const (
	quiet state = iota
	spoken
	answered
	over
)

// segment is what matters of a TCP packet.
type segment struct {
	src, dst uint16
	syn, end bool // end: FIN or RST
	payload  []byte
}

// parseSegment reads an IPv4 packet; ok is false for anything but whole TCP.
func parseSegment(p []byte) (s segment, ok bool) {
	if len(p) < 20 || p[0]>>4 != 4 || p[9] != 6 {
		return s, false
	}
	total, head := int(binary.BigEndian.Uint16(p[2:])), int(p[0]&15)*4
	if head < 20 || total > len(p) || total < head+20 {
		return s, false
	}
	t := p[head:total]
	offset := int(t[12]>>4) * 4
	if offset < 20 || offset > len(t) {
		return s, false
	}
	return segment{
		src: binary.BigEndian.Uint16(t), dst: binary.BigEndian.Uint16(t[2:]),
		syn: t[13]&2 != 0, end: t[13]&5 != 0, payload: t[offset:],
	}, true
}

// fromClient hears a packet on its way to the server. Bare acknowledgements say
// nothing, but for the one that completes the handshake: the greeting answers it.
func (f *flights) fromClient(p []byte) {
	s, ok := parseSegment(p)
	if !ok {
		return
	}
	c := f.flows[s.src]
	switch {
	case s.syn:
		if c == nil || c.state != spoken {
			f.Sessions++
		}
		f.flows[s.src] = &flow{state: spoken}
		return
	case c == nil || c.state == over:
		return
	case len(s.payload) == 0 && !s.end && c.acked:
		return
	}
	if c.state == answered {
		f.Flights++
	}
	c.state, c.acked = spoken, true
	if s.end {
		c.state = over
	}
}

// fromServer hears a packet on its way to the client.
func (f *flights) fromServer(p []byte) {
	s, ok := parseSegment(p)
	if !ok {
		return
	}
	c := f.flows[s.dst]
	if c != nil && c.state == spoken && (s.syn || len(s.payload) > 0) {
		c.state = answered
	}
}
