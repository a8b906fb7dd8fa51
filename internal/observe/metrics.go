package observe

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"postrider/internal/observe/state"
)

// counts is what was counted since the engine began.
type counts struct {
	made, failed, reused, overlapped, dropped, reloads atomic.Uint64
	seconds, recipients                                prometheus.Histogram

	mu     sync.Mutex
	deeds  map[deed]uint64 // guarded by mu; no more than letters times causes
	letter [3]uint64       // guarded by mu: K, Z and D
}

// deed is how deliveries may end.
type deed struct {
	letter byte
	cause  string
}

func (c *counts) ended(letter byte, cause string, took time.Duration) {
	c.seconds.Observe(took.Seconds())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deeds[deed{letter, cause}]++
	switch letter {
	case 'K':
		c.letter[0]++
	case 'D':
		c.letter[2]++
	default:
		c.letter[1]++
	}
}

// deliveries is the counts as a State has them.
func (c *counts) deliveries() state.Deliveries {
	c.mu.Lock()
	defer c.mu.Unlock()
	causes := make(map[string]uint64, len(c.deeds))
	for d, n := range c.deeds {
		causes[d.cause] += n
	}
	return state.Deliveries{Delivered: c.letter[0], Deferred: c.letter[1], Bounced: c.letter[2], Causes: causes}
}

func (o *Observer) register() {
	c := &o.counts
	c.deeds = map[deed]uint64{}
	c.seconds = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "qmail_remote_delivery_seconds", Help: "How long deliveries took, waiting included.",
		Buckets: []float64{0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000},
	})
	c.recipients = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "qmail_remote_transaction_recipients", Help: "Recipients that a transaction had.",
		Buckets: []float64{1, 2, 3, 5, 10, 20, 50, 100},
	})
	o.registry = prometheus.NewRegistry()
	o.registry.MustRegister(c.seconds, c.recipients, &collector{o}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// collector gives what is known at the moment of asking.
type collector struct{ o *Observer }

// Describe says nothing beforehand: what Collect gives is of fixed names, and
// whether they go together is looked at with each request.
func (*collector) Describe(chan<- *prometheus.Desc) {}

// Collect is run by the registry in goroutines of its own, where nobody else
// would catch a panic.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	defer harmless()
	c.deeds(to)
	s := c.o.State()
	for _, m := range [...]struct {
		name, help string
		kind       prometheus.ValueType
		value      float64
	}{
		{"connections_made_total", "Connections to servers that came about.", prometheus.CounterValue, float64(s.Connections.Made)},
		{"connections_failed_total", "Attempts to connect that failed or were called off.", prometheus.CounterValue, float64(s.Connections.Failed)},
		{"connections_reused_total", "Conversations that were found waiting.", prometheus.CounterValue, float64(s.Connections.Reused)},
		{"transactions_overlapped_total", "Transactions that began behind another's content.", prometheus.CounterValue, float64(s.Connections.Overlapped)},
		{"connections_idle", "Conversations that wait for another message.", prometheus.GaugeValue, float64(s.Connections.Idle)},
		{"slots", "Deliveries that may be under way.", prometheus.GaugeValue, float64(s.Slots.Limit)},
		{"slots_busy", "Deliveries that are under way.", prometheus.GaugeValue, float64(s.Slots.Busy)},
		{"groups_open", "Groups of recipients that may still be joined.", prometheus.GaugeValue, float64(s.Slots.Groups)},
		{"destinations", "Destinations that are known.", prometheus.GaugeValue, float64(s.Destinations.Known)},
		{"destinations_broken", "Destinations that do not answer and are left alone.", prometheus.GaugeValue, float64(s.Destinations.Broken)},
		{"destinations_running", "Deliveries whose turn it is.", prometheus.GaugeValue, float64(s.Destinations.Running)},
		{"destinations_waiting", "Deliveries that wait for their turn.", prometheus.GaugeValue, float64(s.Destinations.Waiting)},
		{"destinations_suspects", "Deliveries under way to destinations in trouble.", prometheus.GaugeValue, float64(s.Destinations.Suspects)},
		{"dns_cache_entries", "Answers and failures in the DNS cache.", prometheus.GaugeValue, float64(s.Caches.DNS.Entries)},
		{"dns_cache_bytes", "Memory that they take, nearly.", prometheus.GaugeValue, float64(s.Caches.DNS.Bytes)},
		{"dns_cache_hits_total", "Look-ups answered from memory.", prometheus.CounterValue, float64(s.Caches.DNS.Hits)},
		{"dns_cache_misses_total", "Look-ups that asked.", prometheus.CounterValue, float64(s.Caches.DNS.Misses)},
		{"dns_cache_shared_total", "Look-ups that waited for another's question.", prometheus.CounterValue, float64(s.Caches.DNS.Shared)},
		{"dns_cache_evicted_total", "Entries dropped for want of room.", prometheus.CounterValue, float64(s.Caches.DNS.Evicted)},
		{"tls_handshakes_full_total", "TLS handshakes that succeeded in full.", prometheus.CounterValue, float64(s.Caches.TLS.Full)},
		{"tls_handshakes_resumed_total", "TLS handshakes that resumed a session.", prometheus.CounterValue, float64(s.Caches.TLS.Resumed)},
		{"tls_sessions", "Places with TLS sessions that may be resumed.", prometheus.GaugeValue, float64(s.Caches.TLS.Sessions)},
		{"reloads_total", "SIGHUPs that were obeyed.", prometheus.CounterValue, float64(c.o.counts.reloads.Load())},
		{"log_dropped_total", "Lines of the log that nobody took in time.", prometheus.CounterValue, float64(c.o.counts.dropped.Load())},
	} {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc("qmail_remote_"+m.name, m.help, nil, nil), m.kind, m.value)
	}
}

func (c *collector) deeds(to chan<- prometheus.Metric) {
	desc := prometheus.NewDesc("qmail_remote_deliveries_total", "Deliveries that have ended, by report and cause.", []string{"letter", "cause"}, nil)
	counts := &c.o.counts
	counts.mu.Lock()
	defer counts.mu.Unlock()
	for d, n := range counts.deeds {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), string(d.letter), d.cause)
	}
}
