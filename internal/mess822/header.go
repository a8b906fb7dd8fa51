package mess822

import (
	"strconv"
	"strings"
	"time"

	"postrider/internal/ascii"
)

// Rewriter is what header rewriting needs to know beside a message. It counts
// the Message-IDs that it makes.
type Rewriter struct {
	Rules  Rules
	IDHost string // whose Message-IDs are made, before Rules
	PID    int    // of this process, for Message-ID
	// UTF8 is for messages of SMTPUTF8: addresses with bytes above 127 need no
	// quotes (RFC 6532 §3.2).
	UTF8 bool

	made int // Message-IDs
}

// Origin is what is known of a message from outside of it.
type Origin struct {
	Sender string    // as it will stand in the envelope
	Name   string    // of that person
	Known  bool      // Name and Sender are right, whatever From says
	Time   time.Time // now
}

// what is done with a field
type rank uint8

const (
	other    rank = iota // printed as it is, after all others
	dropped              // not printed
	trace                // printed as it is, before all others
	date                 // read, and one is printed
	ident                // printed as it is, and makes our own unnecessary
	writers              // read and printed as addresses, from here on
	visible              // the same, and addresses there tell recipients of one another
	notified             // the same as writers
)

// known is what is done with which fields, in the order in which those that
// are read are printed.
var known = [...]struct {
	name string
	rank rank
}{
	{"Received", trace}, {"Delivered-To", trace}, {"Errors-To", trace},
	{"Return-Receipt-To", trace}, {"Resent-Sender", trace}, {"Resent-From", trace},
	{"Resent-Reply-To", trace}, {"Resent-To", trace}, {"Resent-Cc", trace},
	{"Resent-Bcc", trace}, {"Resent-Date", trace}, {"Resent-Message-ID", trace},
	{"Bcc", dropped}, {"Return-Path", dropped}, {"Apparently-To", dropped},
	{"Content-Length", dropped},
	{"Date", date},
	{"Message-ID", ident},
	{"From", writers}, {"Sender", writers}, {"Reply-To", writers},
	{"Mail-Reply-To", writers}, {"Mail-Followup-To", writers},
	{"To", visible}, {"Cc", visible},
	{"Notice-Requested-Upon-Delivery-To", notified},
}

// find is the index in known of the field of that name, in any case of letters,
// or -1.
func find(name string) int {
	for i := range known {
		if ascii.EqualFold(known[i].name, name) {
			return i
		}
	}
	return -1
}

// sorted is a header being rewritten.
type sorted struct {
	most             int      // addresses that may still come; below 0: there were too many
	trace, ids, rest []string // texts of fields, in order
	date             Date
	lists            [len(known)][]Address // by index of known
}

// MaxAddresses is how many addresses and empty groups a header may have for
// Append. They take some fifty bytes of memory each, however short they are.
const MaxAddresses = 200_000

// Append puts the rewritten header of a message at the end of b, which holds
// the Received field that begins it. The lines of header each end in LF, as
// those of what is made of it do. It is false, and b useless, if there are more
// than MaxAddresses.
func (w *Rewriter) Append(b []byte, header string, o Origin) (all []byte, ok bool) {
	s := sorted{date: DateOf(o.Time), most: MaxAddresses}
	for f := range fields(header) {
		s.put(f)
		if s.most < 0 {
			return b, false
		}
	}
	for _, text := range s.trace {
		b = append(b, text...)
	}
	b = append(b, "Date: "+s.date.String()+"\n"...)
	for _, text := range s.ids {
		b = append(b, text...)
	}
	if s.ids == nil {
		b = append(b, w.messageID(s.date)...)
	}
	b = w.lists(b, &s, o)
	for _, text := range s.rest {
		b = append(b, text...)
	}
	return b, true
}

// put files a field.
func (s *sorted) put(f field) {
	i := find(f.name)
	if i < 0 {
		s.rest = append(s.rest, f.text)
		return
	}
	switch known[i].rank {
	case dropped:
	case trace:
		s.trace = append(s.trace, f.text)
	case date:
		if d, ok := ParseDate(f.body); ok {
			s.date = d
		}
	case ident:
		s.ids = append(s.ids, f.text)
	default:
		list, _ := addresses(f.body, s.most)
		s.most -= len(list)
		s.lists[i] = merge(s.lists[i], list)
	}
}

// merge puts the list of a field behind that of another of its name, as if they
// were one.
func merge(list, more []Address) []Address {
	if n := len(list); n > 0 && len(more) > 0 && precedes(list[n-1], &more[0]) {
		list = list[:n-1]
	}
	return append(list, more...)
}

// messageID is a field of our own: qmail's form, unique by time, process and
// count.
func (w *Rewriter) messageID(d Date) string {
	w.made++
	return "Message-ID: <" + d.stamp() + "." + strconv.Itoa(w.made) + "." + strconv.Itoa(w.PID) +
		".qmail@" + w.Rules.Host(w.IDHost) + ">\n"
}

// lists prints the fields that have addresses.
func (w *Rewriter) lists(b []byte, s *sorted, o Origin) []byte {
	seen := false
	for i, k := range known {
		if k.rank == visible && len(s.lists[i]) > 0 {
			seen = true
		}
	}
	for i, k := range known {
		if k.name == "To" && !seen {
			// RFC 822 §A.3.3: there must be one of To, Cc and Bcc. Mailing lists and
			// old readers still ask for it.
			b = append(b, "Cc: recipient list not shown: ;\n"...)
		}
		list := s.lists[i]
		for j := range list {
			if list[j].Addr != "" && list[j].Addr != "@" {
				list[j].Addr = w.Rules.Address(list[j].Addr)
			}
		}
		if k.name == "From" && (o.Known || len(list) == 0) {
			list = []Address{o.author()}
		}
		if len(list) > 0 {
			b = appendList(b, k.name+": ", list, w.UTF8)
		}
	}
	return b
}

// author is the sender of the envelope as an address of the header.
func (o Origin) author() Address {
	a := Address{Addr: o.Sender, Comment: strings.ReplaceAll(o.Name, "\n", " ")}
	if !strings.Contains(a.Addr, "@") {
		a.Addr += "@" // as is the empty address
	}
	return a
}
