// Package fair decides which delivery may go to its destination now, which
// waits its turn, and which had better be deferred, so that the slots of
// qmail-rspawn, at most 255, are used well and no destination is run over.
//
//	pass, err := gate.Enter(ctx, key)   waits in line
//	… connect, talk …
//	pass.Leave(fair.OK)                 says how it went
//
// It knows destinations by an opaque key, counts and times. It does not know
// SMTP, DNS or sockets. It starts no goroutine: whoever waits is the caller.
//
// # A destination
//
// At most window deliveries to it run at once. The window begins at
// Limits.Initial and grows by one per OK up to Limits.PerHost; Pushback and
// Silent halve it. Deliveries that began before it was last halved neither halve
// it again nor widen it: twenty that fail together are one event. Once a
// destination has pushed back it widens by one per window of OKs from there,
// because every further push-back would cost somebody a deferral.
//
// When Limits.BreakAfter deliveries in a row were Silent (a Pushback counts
// half), and no fewer than ran when the trouble began, the circuit opens:
// everybody in line and everybody who comes is told so at once, except for one
// probe per back-off interval, which doubles from Limits.Backoff to
// Limits.MaxBackoff. The first OK or Neutral closes it, and the window grows
// from one.
//
// # What a wait costs
//
// A delivery that waits occupies a slot of qmail-send as well as one that runs.
// A deferral costs its recipient the retry schedule, (20+√age)² s after birth:
// 400 s at the least. And qmail-send has no other recipient to offer until it has
// read through those of the message in hand, so a queue of 10000 for one
// destination that is refused at once comes back for a few hundred at a time
// until it is too old: deferring is not free even for mail that cannot run.
// Hence three rules.
//
// While slots are spare, waiting is free: a delivery waits up to Limits.MaxWait,
// 100 s. That is longer than one connection takes to time out, so those in line
// behind a host that hangs learn of it from the circuit; and a quarter of the
// shortest deferral.
//
// The last eighth of the slots is the reserve (five if that is more, but at
// most a quarter). No destination runs so many that less than the reserve is
// left, whatever PerHost says; recipients that go in one transaction, a Party, are
// one delivery to their destination, and a slot each here. While slots are so scarce that less is free, a
// waiting delivery is looked at every Limits.Hold, 4 s, and stays if its turn
// comes soon; else it is deferred. Those at the head of a line stay and those at
// its end go: room is made at the cost of the longest line and the slowest
// destination.
//
// "Soon" is Hold × slots ÷ reserve, 32 s: a destination that takes a line of all
// slots in that time gives eight a second back by itself. So a fast destination
// may fill every slot, and none of its mail is deferred.
//
// A slow one that does accept mail loses at most two reserves per Hold, 15 a
// second of 255. That is what others get to begin with while a queue for the slow
// one passes; more would be kind to them, but the queue would be through before
// its destination has taken a part worth mentioning, pass after pass (10000
// recipients at 30 s each would not get there in a week). Where no delivery has
// ended yet, or trouble came last, there is no such care; and where none has ended
// for as long as "soon", nobody queues any more while slots are scarce.
//
// No delivery to a destination whose last word was trouble begins while such
// deliveries have half of the slots: many dead destinations are no better than
// one. What nobody can know is that 255 destinations never met before are all
// dead; then time-outs bound the damage, once.
//
// TestOthersGoOn, TestNotDeferredInVain and TestWithinQueueLifetime
// simulate qmail-send to show that these numbers do what is said here.
package fair
