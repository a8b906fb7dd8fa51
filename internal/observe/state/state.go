// Package state is what the engine of qmail-rspawn says of itself at GET
// /state, as a program reads it. It knows no more than the form.
package state

import "time"

// Most is how many destinations and peers a State names; others are counted only.
const Most = 200

// State is one look at an engine. No text in it holds anything but printable
// ASCII, whoever wrote it first, and none is a password or a part of a message.
type State struct {
	Time         time.Time    `json:"time"`
	Started      time.Time    `json:"started"`
	PID          int          `json:"pid"`
	Deliveries   Deliveries   `json:"deliveries"`
	Slots        Slots        `json:"slots"`
	Destinations Destinations `json:"destinations"`
	Connections  Connections  `json:"connections"`
	Caches       Caches       `json:"caches"`
}

// Deliveries counts what has ended since Started.
type Deliveries struct {
	Delivered uint64            `json:"delivered"` // K
	Deferred  uint64            `json:"deferred"`  // Z
	Bounced   uint64            `json:"bounced"`   // D
	Causes    map[string]uint64 `json:"causes"`    // the same, by cause
}

// Slots are the deliveries under way.
type Slots struct {
	Limit  int    `json:"limit"`
	Busy   int    `json:"busy"`
	Groups int    `json:"groups"` // groups of recipients that may still be joined
	Open   []Slot `json:"open"`   // by number
}

// Slot is one delivery.
type Slot struct {
	Number  byte    `json:"slot"`
	Message string  `json:"message"` // its file below queue/mess
	Host    string  `json:"host"`    // the recipient's
	Phase   string  `json:"phase"`   // planning, joined, waiting or talking
	Seconds float64 `json:"seconds"` // since it began
}

// Destinations are the sets of hosts that share a limit.
type Destinations struct {
	Known    int           `json:"known"`
	Running  int           `json:"running"`  // deliveries
	Waiting  int           `json:"waiting"`  // deliveries
	Suspects int           `json:"suspects"` // of those that run, to destinations in trouble
	Broken   int           `json:"broken"`   // destinations whose circuit is open
	Busiest  []Destination `json:"busiest"`  // those in use first, then the broken ones; Most at the most
}

// Destination is one of them. Two of the same name are the same hosts spoken to
// in different manners, as somebody else or under another TLS policy.
type Destination struct {
	Name    string     `json:"name"` // its best-preferred host
	ID      string     `json:"id"`   // tells it from others, as long as the engine lives
	Window  int        `json:"window"`
	Running int        `json:"running"`
	Waiting int        `json:"waiting"`
	Broken  *time.Time `json:"broken,omitempty"` // since when its circuit is open
	Probe   *time.Time `json:"probe,omitempty"`  // when the next delivery may try it
}

// Connections are those to servers.
type Connections struct {
	Made   uint64 `json:"made"`
	Failed uint64 `json:"failed"`
	Reused uint64 `json:"reused"` // transactions that found one waiting
	// Overlapped counts transactions that began behind another's content.
	Overlapped uint64 `json:"overlapped"`
	Idle       int    `json:"idle"`  // waiting now
	Peers      []Peer `json:"peers"` // of the idle ones; Most at the most
}

// Peer is an address with idle connections.
type Peer struct {
	Address string `json:"address"`
	Idle    int    `json:"idle"`
}

// Caches are what the engine remembers for many deliveries.
type Caches struct {
	DNS DNS `json:"dns"`
	TLS TLS `json:"tls"`
}

// TLS is the sessions that may be resumed, and the handshakes that succeeded.
type TLS struct {
	Sessions int    `json:"sessions"` // places of which there are some
	Full     uint64 `json:"full"`     // handshakes without one
	Resumed  uint64 `json:"resumed"`
}

// DNS is the cache of look-ups; its counts begin anew when resolv.conf changes.
type DNS struct {
	Entries int    `json:"entries"`
	Bytes   int    `json:"bytes"`
	Hits    uint64 `json:"hits"`
	Misses  uint64 `json:"misses"`
	Shared  uint64 `json:"shared"` // look-ups that waited for another's question
	Evicted uint64 `json:"evicted"`
}
