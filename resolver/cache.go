package resolver

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// What a Cache keeps to when CacheOptions do not say otherwise.
const (
	defaultEntries     = 20000
	defaultBytes       = 16 << 20
	defaultMaxTTL      = time.Hour
	defaultMaxNegative = 15 * time.Minute
	// minTTL is how long even a TTL of zero counts: the look-ups of deliveries
	// that begin together are one transaction (RFC 1035 §3.2.1).
	minTTL = time.Second
	// failureTTL is how long a Temporary failure is remembered, which is what
	// RFC 9520 §3.2 asks for at least. Those who ask meanwhile would mostly hear
	// the same after a long wait; longer would put off mail that could go again,
	// until its next turn in the queue.
	failureTTL = time.Second
)

// CacheOptions bound a Cache; what is not positive is the default.
type CacheOptions struct {
	MaxEntries  int           // answers and failures, default 20000
	MaxBytes    int           // memory they take, nearly; default 16 MB
	MaxTTL      time.Duration // the longest that an answer is kept, default 1 h
	MaxNegative time.Duration // the longest that NotFound or NoData is, default 15 min
}

// CacheStats says how a Cache fares. Every look-up is one of Hits, Misses and
// Shared, but for names that cannot be asked about and callers who came too late.
type CacheStats struct {
	Entries int    // at the moment, expired ones that were not yet met included
	Bytes   int    // that they take, nearly
	Hits    uint64 // look-ups answered from memory, failures included
	Misses  uint64 // look-ups that asked
	Shared  uint64 // look-ups that waited for what another had asked
	Evicted uint64 // entries dropped for want of room before they expired
}

// Cache is a Resolver that remembers, for a program that lives long: answers as
// long as the lowest TTL along their CNAME chain says, NotFound and NoData as
// long as the SOA beside them says (RFC 2308 §5; without one not at all), other
// failures for a second, and all of them no longer than its options allow.
// Whether an answer was authenticated is remembered with it.
//
// Callers who ask the same at the same time share one question. One whose
// context ends leaves at once, and the question goes on for the others; it is
// given up when the last has left. Answers are the caller's own, to change as it
// likes. A Cache may be used by any number of goroutines at once; it starts one
// for each question, which ends soon after the last caller is gone.
type Cache struct {
	r           *Resolver
	maxTTL      time.Duration
	maxNegative time.Duration
	group       singleflight.Group

	mu      sync.Mutex           // never held while waiting or copying
	store   store                // under mu
	flights map[Question]*flight // under mu; those that group has, and no others
	stats   CacheStats           // under mu; but Entries and Bytes, which store knows
}

// found is what a look-up came to. Nobody writes to it any more, so that it may
// be read without a lock.
type found struct {
	kind      Kind  // 0: an answer
	cause     error // of a failure
	secure    bool
	mx        []MX
	addrs     []netip.Addr
	canonical string // of addrs
	tlsa      []TLSA
}

// flight is a question under way. It ends its context when nobody waits for it.
type flight struct {
	ask     func() (any, error) // gives a *found
	end     context.CancelFunc
	waiting int // callers; under Cache.mu
}

// NewCache is a Cache of what r answers.
func NewCache(r *Resolver, o CacheOptions) *Cache {
	if o.MaxEntries <= 0 {
		o.MaxEntries = defaultEntries
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = defaultBytes
	}
	if o.MaxTTL <= 0 {
		o.MaxTTL = defaultMaxTTL
	}
	if o.MaxNegative <= 0 {
		o.MaxNegative = defaultMaxNegative
	}
	c := &Cache{r: r, maxTTL: o.MaxTTL, maxNegative: o.MaxNegative, flights: map[Question]*flight{}}
	c.store.init(o.MaxEntries, o.MaxBytes)
	return c
}

// MX is Resolver.MX.
func (c *Cache) MX(ctx context.Context, name string) (MXAnswer, error) {
	f, err := c.find(ctx, OfMX(name))
	if err != nil {
		return MXAnswer{}, err
	}
	return MXAnswer{MX: slices.Clone(f.mx), Secure: f.secure}, nil
}

// Addrs is Resolver.Addrs.
func (c *Cache) Addrs(ctx context.Context, name string, v6 bool) (AddrAnswer, error) {
	f, err := c.find(ctx, OfAddrs(name, v6))
	if err != nil {
		return AddrAnswer{}, err
	}
	return AddrAnswer{Addrs: slices.Clone(f.addrs), Canonical: f.canonical, Secure: f.secure}, nil
}

// TLSA is Resolver.TLSA.
func (c *Cache) TLSA(ctx context.Context, port uint16, name string) (TLSAAnswer, error) {
	f, err := c.find(ctx, OfTLSA(port, name))
	if err != nil {
		return TLSAAnswer{}, err
	}
	return TLSAAnswer{Records: cloneTLSA(f.tlsa), Secure: f.secure}, nil
}

// CNAMESecure is Resolver.CNAMESecure.
func (c *Cache) CNAMESecure(ctx context.Context, name string) (secure bool, err error) {
	f, err := c.find(ctx, Question{name, typeCNAME})
	if err != nil {
		return false, err
	}
	return f.secure, nil
}

// Flush forgets everything. What is being asked is still answered to those who
// wait for it, but neither remembered nor shared any more.
func (c *Cache) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.store.clear()
	for k, f := range c.flights {
		c.land(k, f)
	}
}

// Stats is how the Cache fares at the moment.
func (c *Cache) Stats() CacheStats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries, s.Bytes = len(c.store.entries), c.store.bytes
	return s
}

// find answers k from memory or asks. Errors are *Error.
func (c *Cache) find(ctx context.Context, k Question) (*found, error) {
	f := c.recall(k)
	if f == nil {
		f = c.fetch(ctx, k)
	}
	if f.kind != 0 {
		return nil, &Error{Kind: f.kind, Name: k.name, Type: typeName(k.typ), Secure: f.secure, Err: f.cause}
	}
	return f, nil
}

// Ahead reports whether the answers to now are remembered, so that the look-ups
// that ask for them need not wait; nothing is asked.
func (c *Cache) Ahead(_ context.Context, now, _ []Question) bool {
	at := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, q := range now {
		if c.store.get(q, at) == nil {
			return false
		}
	}
	return true
}

// recall is what is remembered of k, or nil. Names mostly come as they are kept,
// so they are not looked at first.
func (c *Cache) recall(k Question) *found {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.store.get(k, now)
	if e == nil {
		return nil
	}
	c.stats.Hits++
	return e.found
}

// fetch asks k, or waits with others who do, until ctx ends.
func (c *Cache) fetch(ctx context.Context, k Question) *found {
	if ctx.Err() != nil {
		return &found{kind: Temporary, cause: context.Cause(ctx)}
	}
	name, ok := askable(k.name)
	if !ok { // known without a question
		f, _ := c.look(ctx, k)
		return f
	}
	k.name = name
	f, remembered, answer := c.join(k)
	if f == nil {
		return remembered
	}
	defer c.leave(k, f)
	select {
	case r := <-answer:
		return r.Val.(*found)
	case <-ctx.Done():
		return &found{kind: Temporary, cause: context.Cause(ctx)}
	}
}

// join makes the caller one of those who wait for k, unless it is remembered by
// now. What is found is remembered before its flight is gone, so that under mu
// there is always one or the other.
func (c *Cache) join(k Question) (*flight, *found, <-chan singleflight.Result) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.store.get(k, now); e != nil {
		c.stats.Hits++
		return nil, e.found, nil
	}
	f := c.flights[k]
	if f == nil {
		c.stats.Misses++
		f = c.launch(k)
	} else {
		c.stats.Shared++
	}
	f.waiting++
	return f, nil, c.group.DoChan(k.flight(), f.ask)
}

// launch readies a flight; mu is held.
func (c *Cache) launch(k Question) *flight {
	k.name = strings.Clone(k.name) // not all of what the caller cut it from
	ctx, cancel := context.WithCancel(context.Background())
	f := &flight{end: cancel}
	f.ask = func() (any, error) {
		what, lasts := c.look(ctx, k)
		now := time.Now()
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.land(k, f) && lasts > 0 {
			c.stats.Evicted += c.store.put(newEntry(k, what, now.Add(lasts)), now)
		}
		return what, nil
	}
	c.flights[k] = f
	return f
}

// leave is for one who waits no more; a flight without any is given up.
func (c *Cache) leave(k Question, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f.waiting--; f.waiting == 0 {
		c.land(k, f)
		f.end()
	}
}

// land lets nobody join f any more. It reports false when that was so already:
// what f finds is then not to be remembered. mu is held.
func (c *Cache) land(k Question, f *flight) bool {
	if c.flights[k] != f {
		return false
	}
	delete(c.flights, k)
	c.group.Forget(k.flight())
	return true
}

// look asks k itself, and says for how long what it finds is to be kept; 0 is not
// at all.
func (c *Cache) look(ctx context.Context, k Question) (*found, time.Duration) {
	a, ttl, err := c.r.ask(ctx, k.name, k.typ)
	f := &found{}
	if err == nil {
		err = f.read(a, k)
	}
	var e *Error
	if errors.As(err, &e) {
		f = &found{kind: e.Kind, cause: e.Err, secure: e.Secure}
	}
	most := c.maxTTL
	switch {
	case f.kind == Temporary:
		return f, failureTTL
	case ttl == untold:
		return f, 0
	case f.kind != 0:
		most = c.maxNegative
	}
	return f, min(max(time.Duration(ttl)*time.Second, minTTL), most)
}

// read takes from an answer to k what is kept of it; the message is not.
func (f *found) read(a answer, k Question) error {
	f.secure = a.secure
	switch k.typ {
	case typeMX:
		mx, err := a.mx(k.name)
		f.mx = mx.MX
		return err
	case typeTLSA:
		f.tlsa = cloneTLSA(a.tlsa().Records)
	case typeA, typeAAAA:
		addrs, err := a.addrs(k.name, k.typ)
		f.addrs, f.canonical = addrs.Addrs, addrs.Canonical
		return err
	}
	return nil
}

// cloneTLSA copies records and, together, their data.
func cloneTLSA(records []TLSA) []TLSA {
	n := 0
	for _, r := range records {
		n += len(r.Data)
	}
	data, out := make([]byte, 0, n), slices.Clone(records)
	for i, r := range out {
		data = append(data, r.Data...)
		out[i].Data = data[len(data)-len(r.Data) : len(data) : len(data)]
	}
	return out
}

// flight is q as singleflight wants it.
func (q Question) flight() string {
	return string([]byte{byte(q.typ >> 8), byte(q.typ)}) + q.name
}
