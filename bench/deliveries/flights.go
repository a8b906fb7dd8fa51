package main

import "encoding/binary"

// flights counts, from the packets that pass the relay, how often a client spoke
// and was answered: round trips, whatever they carried. Its zero value is not
// ready; its owner is whoever holds the relay's lock.
type flights struct {
	flows    map[uint16]*flow // by the client's port
	Count    int              // answered flights
	Packets  int
	Sessions int
}

// flow is one TCP connection.
type flow struct {
	spoke bool // the client has said something since the server last did
	acked bool // the handshake is complete
}

// segment is what matters of a TCP packet.
type segment struct {
	src, dst uint16
	syn, rst bool
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
		syn: t[13]&2 != 0, rst: t[13]&4 != 0, payload: t[offset:],
	}, true
}

// fromClient hears a packet on its way to the server. Bare acknowledgements say
// nothing, but for the one that completes the handshake: the greeting answers it.
// QUIT alone does not count, for nobody waits for its answer.
func (f *flights) fromClient(p []byte) {
	s, ok := parseSegment(p)
	if !ok {
		return
	}
	f.Packets++
	c := f.flows[s.src]
	switch {
	case s.syn:
		if c == nil || !c.spoke {
			f.Sessions++
		}
		f.flows[s.src] = &flow{spoke: true}
	case c == nil || string(s.payload) == "QUIT\r\n":
	case len(s.payload) > 0 || !c.acked:
		c.spoke, c.acked = true, true
	}
}

// fromServer hears a packet on its way to the client.
func (f *flights) fromServer(p []byte) {
	s, ok := parseSegment(p)
	if !ok {
		return
	}
	f.Packets++
	c := f.flows[s.dst]
	if c != nil && c.spoke && (s.syn || len(s.payload) > 0) {
		c.spoke = false
		f.Count++
	}
}
