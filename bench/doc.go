// Package bench measures the parts of a delivery that every message pays for.
// Benchmarks of one package alone stand beside that package; here are those that
// need several, or a file of realistic size.
//
//	bench/deliveries   whole deliveries by process, across a network with delay
//	bench/rspawn       deliveries through qmail-rspawn, by its engine and by processes
//	bench/plot         pictures of what bench/rspawn has measured
//	bench/baseline     programs that do nothing, to compare with
package bench
