// Package remote is the conductor of a delivery: it finds the candidates for a
// destination, tries them in order, judges what happened, and says it.
//
// A delivery, as the functions that carry it:
//
//	argv ─ParseJob→ Job                     names become A-labels here, once
//	control/ ─control.Load→ Snapshot ─New→ *Engine
//	Job.Host ─routes→ hop ─candidates→ []Candidate{Host, Addr, Pref, Secure, TLSA}
//	Candidate ─tlspolicy.Decide→ Policy     pure
//	tcpto.Blocked? ─dial─ smtpc ─ Send → smtp.Transaction
//	Transaction ─judge→ Outcome, stop or next ─Outcome.AppendTo→ r/h/s … K/Z/D
//
// It does not know wire bytes, sentences, certificates or file formats.
package remote
