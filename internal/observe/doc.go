// Package observe tells people and their tools what the engine of qmail-rspawn
// is doing: counts in Prometheus' text form and a State in JSON, both over a
// Unix socket that only the engine's user may open, and a line for each delivery
// where control/remotelog asks for one.
//
//	engine ─Begin→ Delivery ─End→ counts, log line
//	engine's View ─state→ GET /state; ─collect→ GET /metrics
//
// Nothing here can fail a delivery or make it wait: what cannot be had is left
// out, a log that nobody reads is dropped, and a panic ends where it began.
// Labels come from fixed sets; hosts and addresses are named in State only,
// which is bounded.
//
// It knows no SMTP and no queue, and is never told passwords or content.
package observe
